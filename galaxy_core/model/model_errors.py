"""What pydantic has against values that a foreign model refuses, in the words of the errors of plan files.

A model's errors name places as pydantic sees them, with the members of unions among the keys; and they do not say which
keys there are. Both are found in the JSON Schema of the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from galaxy_core.model.explain import AUTHORS, explain
from galaxy_core.model.places import MAX_PROBLEMS, Findings, Place
from galaxy_core.model.source import described

_ABSENT: Final = object()


def model_problems(model: Any, values: Any, errors: Sequence[Mapping[str, Any]], show: bool) -> list[tuple[Place, str]]:
    """A sentence, and its place in `values`, for each of the `errors` of a model; `show` as in `explain`."""
    shape = _Shape(model)
    found: dict[Place, list[str]] = {}
    alternatives: dict[Place, list[Mapping[str, Any]]] = {}  # of a union, what each of its members has against a value
    for error in errors[:MAX_PROBLEMS]:
        place, around, member = shape.locate(error, values)
        told = {**error, "loc": place}
        is_name = error["type"] == "missing" or place[-1:] == ("[key]",)
        texts = found.setdefault(place[:-1] if is_name else place, [])
        if member is not None and error["type"] not in AUTHORS | {"missing", "extra_forbidden"}:
            alternatives.setdefault(place, []).append(told)
            continue
        (text,) = _sentences([told], shape.keys(around), shape.about(around, place[-1:]), show)
        texts.append(f"as {member}: {text}" if member else text)
    for place, members in alternatives.items():
        # A member that complains of what lies inside has taken the kind of value, so that is not what is wrong.
        if not found[place] and not any(other != place and other[: len(place)] == place for other in found):
            found[place] += _of_union(members, show)
    more = len(errors) - MAX_PROBLEMS
    rest: list[tuple[Place, str]] = [((), f"and {more} more problem{'' if more == 1 else 's'}")] if more > 0 else []
    return [*((place, text) for place, texts in found.items() for text in texts), *rest]


def _sentences(
    errors: Sequence[Mapping[str, Any]], keys: Sequence[str], meaning: str | None, show: bool
) -> Iterator[str]:
    # A pattern says little to who has not made it: what the value is for says more.
    patterns = {
        error["ctx"]["pattern"]: f"it must match the regular expression {error['ctx']['pattern']} ({meaning})"
        for error in errors
        if meaning and error["type"] == "string_pattern_mismatch"
    }
    findings = Findings()
    explain(errors, lambda place: keys, patterns, findings, about=lambda place: meaning, show=show)
    return (text for _, _, text in findings.listed)


def _of_union(members: list[Mapping[str, Any]], show: bool) -> list[str]:
    """What the members of a union have against one value; in one sentence, when each only wants something else."""
    texts = list(dict.fromkeys(_sentences(members, (), None, show)))
    found = f"found {described(members[0]['input'], show)}; "
    if len(texts) == 1 or not all(text.startswith(found) for text in texts):
        return texts
    wanted = " is wanted here"
    rests = [text.removeprefix(found) for text in texts]
    if all(rest.endswith(wanted) for rest in rests):
        rests = [*(rest.removesuffix(wanted) for rest in rests[:-1]), rests[-1]]
    return [found + " or ".join(rests)]


class _Shape:
    """The JSON Schema of a model: what tells its keys from the names that pydantic adds to the places of its errors."""

    def __init__(self, model: Any) -> None:
        self._schema: Mapping[str, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of defaults that JSON cannot say
            try:
                self._schema = model.model_json_schema()
            except Exception:  # a foreign model that has none: then without lists of keys and meanings
                self._schema = {}

    def locate(self, error: Mapping[str, Any], values: Any) -> tuple[Place, list[Mapping[str, Any]], str | None]:
        """Where in `values` an error stands, the schemas of what is around that, and the member of a union it is of.

        The name of the member is None without a union, and "" where it tells people nothing.
        """
        way, target = list(error["loc"]), error["input"]
        ends_in_name = error["type"] == "missing" or way[-1:] == ["[key]"]  # a name that is not in the values
        tail = [way.pop()] if ends_in_name and way else []
        place: list[str | int] = []
        value, schemas, around = values, [self._schema], [self._schema]
        member: str | None = None
        for number, part in enumerate(way, 1):
            inner = _step(value, part)
            below = list(self._below(schemas, part, named_only=inner is _ABSENT))
            # Pydantic hands out the very object that it was given: so it is told when a key has the name of a tag.
            by_chance = number == len(way) and not tail and value is target and inner is not target
            if by_chance or (inner is _ABSENT and not below):
                member = ""
                if named := [one for one in self._alternatives(schemas) if _is_called(one, part)]:
                    schemas = named
                    member = str(part) if any(one.get("title") == part for one in named) else ""
            else:
                place.append(part)
                value, around, schemas = inner, schemas, below
        return (*place, *tail), schemas if tail else around, member

    def keys(self, schemas: list[Mapping[str, Any]]) -> list[str]:
        """The keys that mappings of these shapes may have."""
        return [key for schema in self._alternatives(schemas) for key in schema.get("properties", ())]

    def about(self, schemas: list[Mapping[str, Any]], key: Place) -> str | None:
        """The description of a key, without the full stop."""
        for schema in self._alternatives(schemas) if key else ():
            if text := schema.get("properties", {}).get(key[0], {}).get("description"):
                return str(text).rstrip().removesuffix(".")
        return None

    def _alternatives(self, schemas: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The schemas with references followed and unions opened."""
        open_, seen = list(reversed(schemas)), set()
        while open_:
            schema = open_.pop()
            if id(schema) in seen:
                continue
            seen.add(id(schema))
            yield schema
            if reference := schema.get("$ref"):
                open_.append(self._schema.get("$defs", {}).get(str(reference).rpartition("/")[2], {}))
            for kind in ("anyOf", "oneOf", "allOf"):
                open_ += reversed(schema.get(kind, ()))

    def _below(
        self, schemas: list[Mapping[str, Any]], part: str | int, *, named_only: bool
    ) -> Iterator[Mapping[str, Any]]:
        """The schemas of what stands at a key or an index; with `named_only`, of keys that the model knows by name."""
        for schema in self._alternatives(schemas):
            below: Any = schema.get("properties", {}).get(part)
            if below is None and not named_only:
                below = schema.get("items" if isinstance(part, int) else "additionalProperties")
            if isinstance(below, Mapping):
                yield below


def _is_called(schema: Mapping[str, Any], tag: str | int) -> bool:
    """Whether it is the member of a union that pydantic names so: by its class, or the value that discriminates it."""
    return schema.get("title") == tag or any(one.get("const") == tag for one in schema.get("properties", {}).values())


def _step(value: Any, part: str | int) -> Any:
    if isinstance(part, int):
        is_there = isinstance(value, (list, tuple)) and 0 <= part < len(value)
    else:
        is_there = isinstance(value, Mapping) and part in value
    return value[part] if is_there else _ABSENT
