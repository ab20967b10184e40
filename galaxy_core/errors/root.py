"""The root of the tree, and the words that several of its messages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


def nearest(name: object, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three of `known` that `name` may have meant, best first; empty when none is near, or it is no text."""
    if not isinstance(name, str):
        return ()
    import difflib  # costs more than this module, and only who errs needs it

    names = [candidate for candidate in known if isinstance(candidate, str)]
    if len(names) > 5000:  # difflib compares with every name: at that size it would cost seconds
        names = [candidate for candidate in names if candidate[:1] == name[:1]][:5000]
    return tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.6))


def nearest_ids(wanted: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Up to three of `ids` that `wanted` may have meant, or may have meant the end of, best first.

    Ids that Galaxy makes of runs begin alike, so that what they have in common says nothing: near are those that differ in
    two characters side by side.
    """
    most = min(2, len(wanted) // 3)
    found = [(min(_apart(wanted, one), _apart(wanted, one[-len(wanted) :])), one) for one in ids if wanted]
    return tuple(one for apart, one in sorted(found, key=lambda each: each[0]) if apart <= most)[:3]


def _apart(one: str, other: str) -> int:
    """How many characters lie between what two texts begin with alike and what they end with alike."""
    begin = _alike(one, other)
    return max(len(one), len(other)) - begin - _alike(one[begin:][::-1], other[begin:][::-1])


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def either(names: Sequence[str]) -> str:
    """`'a' or 'b'`."""
    return " or ".join(repr(name) for name in names)


def hint(near: Sequence[str]) -> str:
    """`; did you mean 'a' or 'b'?`, or nothing."""
    return f"; did you mean {either(near)}?" if near else ""


def listed(names: Iterable[str], none: str, most: int = 20, show: Callable[[str], str] = repr) -> str:
    """The first `most` of the names in their order, and how many more there are; `none` when there are none."""
    found = sorted(names, key=str)
    if not found:
        return none
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(show, found[:most])) + more


def brought_by(what: str, name: str, failed: Mapping[str, str]) -> str:
    """What to do when no plugin brings `what`; `failed` are those that are installed and broken, each with its error."""
    if not failed:
        return f"Install the plugin that brings {what}"
    near = [one for one in failed if name in one.split(":")]
    if near:
        return f"A plugin of that name is installed, but is broken: {failed[near[0]]}. Repair it"
    return f"Install the plugin that brings {what}, or repair it: installed but broken are {listed(failed, 'none', 5)}"


def shortened_way(text: str, most: int = 50, first: int = 20) -> str:
    """A text with a way such as ``a -> b -> c`` in it: of one with more than `most` steps the `first` and the last."""
    if text.count(" -> ") <= most:
        return text
    steps = text.split(" -> ")
    return " -> ".join([*steps[:first], f"… {len(steps) - first - 1:,} more …", steps[-1]])


class GalaxyError(Exception):
    """The root of everything that Galaxy raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle`, as between the processes of a pool: the error as it is, not made anew of its message."""
        return _as_it_was, (type(self), self.args), self.__dict__ or None


def _as_it_was(kind: type[GalaxyError], args: tuple[Any, ...]) -> GalaxyError:
    builtin = OSError if issubclass(kind, OSError) else BaseException  # the other bases know no more than this one
    error = builtin.__new__(kind, *args)
    error.args = args
    return error
