"""Plain values that nobody changes behind a plan's back: copies of them, and read-only ones.

Both go through dictionaries, lists, tuples and sets of exactly these types, at any depth. Every other object in them is
passed on as it is, because it may be anything: whoever puts one in keeps a hand on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Never

from galaxy_core.errors import PlanError


def _refuse(self: Any, *_: Any, **__: Any) -> Never:
    kind = "dict" if isinstance(self, dict) else "list"
    raise TypeError(f"this {kind} belongs to a request, which cannot be changed: copy it, and make a new request")


class FrozenDict(dict[str, Any]):
    """A dictionary that cannot be changed: equal to a plain one, and as good wherever one is only read.

    A subclass, not a MappingProxyType, because that one is no `dict` to JSON, to pickle and to strict models.
    """

    __slots__ = ()
    __setitem__ = __delitem__ = pop = popitem = clear = update = setdefault = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed, see `FrozenDict`; no tuple, because that one is equal to no list."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)


EMPTY = FrozenDict()

#: What cannot be changed anyhow, and most values are.
_ATOMS = frozenset({str, int, float, bool, type(None)})


def frozen_mapping(mapping: Mapping[str, Any]) -> FrozenDict:
    """A read-only copy; its values are passed on as they are."""
    return FrozenDict(mapping) if mapping else EMPTY


def frozen_deep(mapping: Mapping[str, Any]) -> FrozenDict:
    """A read-only copy, to any depth; sets become frozensets.

    Raises:
        PlanError: it is too deep.
    """
    if not mapping:
        return EMPTY
    if _ATOMS.issuperset(map(type, mapping.values())):
        return FrozenDict(mapping)
    made: FrozenDict = _walk(dict(mapping), FrozenList, FrozenDict, frozenset)
    return made


def copied(value: Any) -> Any:
    """A copy, to any depth, that may be changed; of what is read-only, too.

    Raises:
        PlanError: it is too deep.
    """
    if type(value) is dict and _ATOMS.issuperset(map(type, value.values())):
        return value.copy()
    return _walk(value, list, dict, set)


def _walk(value: Any, make_list: type[list[Any]], make_dict: type[dict[Any, Any]], make_set: Any) -> Any:
    held: list[Any] = []
    seen: dict[int, Any] = {}  # what has been copied, by the id of the original: it may stand inside itself

    def of(value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if id(value) in seen:
            return seen[id(value)]
        if kind is dict or kind is FrozenDict:
            made = seen[id(value)] = make_dict()
            dict.update(made, {key: of(item) for key, item in value.items()})
            return made
        if kind is list or kind is FrozenList:
            items = seen[id(value)] = make_list()
            list.extend(items, [of(item) for item in value])
            return items
        if kind is tuple:
            # Remembered together with the original, so that its id is not another's: it may be shared very often.
            held.append(value)
            made_tuple = seen[id(value)] = tuple([of(item) for item in value])
            return made_tuple
        return make_set(value) if kind is set else value

    try:
        return of(value)
    except RecursionError:
        raise PlanError("a value of a plan nests too deeply to be copied: pass it in a file, or as text") from None
