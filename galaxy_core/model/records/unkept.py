"""Values in records: kept as JSON holds them, and what it cannot hold said to be so.

Four markers stand for what is not itself JSON. Each is a dictionary of one key: ``{"$python": [type, *parts]}`` is a value
of one of Python's own types, such as a tuple, as it was (python_values.py), ``{"$unkept": {type, text, plain?}}`` one that
cannot be kept, ``{"$text": {head, length, file?, sha256?}}`` a text of more than `MAX_TEXT` characters, and ``{"$dict":
{...}}`` a dictionary that looks like a marker. Of a subclass of a plain type or of a collection the plain value is kept.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from attrs import frozen

from galaxy_core.model.records.python_values import NotHereError, apart, beginning, together
from galaxy_core.model.serial import MAX_PARTS, MOST_BITS, described, plain

#: Characters of a text that a record holds; what is longer goes to a file of the run, or is cut.
MAX_TEXT: Final = 1 << 20
#: Characters that are kept of a text in the record itself when the rest is in a file.
HEAD: Final = 4096
#: Deeper than this, values are not kept.
MAX_DEPTH: Final = 200
UNKEPT, TEXT, DICT, PYTHON = "$unkept", "$text", "$dict", "$python"
_MARKERS: Final = frozenset({UNKEPT, TEXT, DICT, PYTHON})
_COLLECTIONS: Final = (dict, list, tuple, set, frozenset)
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})

#: Keeps a long text in a file of the run: the name of the file and the SHA-256 of its UTF-8 text ("surrogatepass"), or None
#: when it cannot.
Spill = Callable[[str], tuple[str, str] | None]


def _a(name: str) -> str:
    return f"{'an' if name[:1].lower() in {'a', 'e', 'i', 'o', 'u'} else 'a'} {name}"


class Unkept:
    """Stands for a value that its record could not hold: `type_name` is what it was, `text` how it looked.

    A reference that reads it is refused. Where plans and results are written out, it is written as the value was. With
    `cut` it is a value that was kept, but for the rest of that text, which cannot be had now: `text` is its beginning, and
    `recorded` how its record has it, so that it is whole again when its file is back.
    """

    __slots__ = ("cut", "plain", "recorded", "text", "type_name")

    def __init__(
        self,
        type_name: str,
        text: str,
        plain: Any = None,
        *,
        cut: LongText | None = None,
        recorded: dict[str, Any] | None = None,
    ) -> None:
        self.type_name, self.text = type_name, text
        self.plain = text if plain is None else plain
        self.cut, self.recorded = cut, recorded

    def to_dict(self) -> Any:
        """As `serial.plain` wrote the value."""
        return self.plain

    @property
    def why(self) -> str:
        """Why there is nothing to be read, and what to do."""
        if self.cut is not None:
            remedy = "run that task again" if self.cut.file is None else "put that file back, or run that task again"
            return f"it was {self.what}: {remedy}"
        return (
            f"it was {_a(self.type_name)} ({self.text[:100]}), which no record of a run can hold, and the process that had "
            "it is gone: run that task again, or have it return text, numbers, lists and dictionaries"
        )

    @property
    def what(self) -> str:
        """What it was, and why it is no more."""
        if self.cut is None:
            return f"{_a(self.type_name)} ({self.text[:100]}), which no journal keeps"
        there, file = len(self.cut.head), self.cut.file
        why = (
            "the journal keeps no files" if file is None else f"the file {file!r} of the run is missing or was changed"
        )
        kind = "a text" if self.type_name == "str" else _a(self.type_name)
        return f"{kind} of which {there:,} of {self.cut.length:,} recorded characters are left, because {why}"

    @property
    def _parts(self) -> tuple[Any, ...]:
        cut = self.cut  # in another record the same text may have another file
        return self.type_name, self.text, self.plain, None if cut is None else (cut.length, cut.sha256)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unkept):
            return NotImplemented
        return self._parts == other._parts

    def __hash__(self) -> int:
        return hash((self.type_name, self.text))

    def __repr__(self) -> str:
        return self.text


@frozen
class LongText:
    """A text of `length` characters that is not in its record: `head` is, and `file` has it all, if there is one."""

    head: str
    length: int
    file: str | None
    sha256: str | None


class Beginning(str):
    """What is left of a stream of a result, which is shown to people; `lost` stands for all of it."""

    lost: Unkept

    def __new__(cls, lost: Unkept) -> Beginning:
        made = super().__new__(cls, lost.text)
        made.lost = lost
        return made

    def __getnewargs__(self) -> tuple[Any]:  # what `__new__` takes, for whoever copies it
        return (self.lost,)


def left_of(text: LongText) -> Unkept:
    """What stands for a long text that cannot be had."""
    told = {"head": text.head, "length": text.length}
    if text.file is not None:
        told |= {"file": text.file, "sha256": text.sha256}
    return Unkept("str", text.head, cut=text, recorded={TEXT: told})


def first_unkept(value: Any, *, is_cut: bool = False) -> Unkept | None:
    """Something in a restored value that was not kept, or with `is_cut` was, and is cut now; None when there is nothing."""
    stack, seen = [value], set()  # a payload that never was in a record may stand inside itself
    while stack:
        found = stack.pop()
        if type(found) is Unkept and (found.cut is not None or not is_cut):
            return found
        if isinstance(found, (dict, list, tuple)) and id(found) not in seen:
            seen.add(id(found))
            stack.extend(found.values() if isinstance(found, dict) else found)
    return None


def whole_again(value: Any, given: Any) -> Any:
    """`value` with what is cut in it replaced by what is given in its place, if that is what was recorded."""
    if type(value) is Unkept and value.cut is not None:
        return given if _is_whole_of(value.cut, given) else value
    if isinstance(value, dict) and isinstance(given, dict):
        return {key: whole_again(item, given[key]) if key in given else item for key, item in value.items()}
    if isinstance(value, (list, tuple)) and isinstance(given, (list, tuple)) and len(value) == len(given):
        return [whole_again(item, other) for item, other in zip(value, given, strict=True)]
    return value


def _is_whole_of(cut: LongText, given: Any) -> bool:
    taken = apart(given)
    text = taken[1][0] if taken is not None else given
    if not isinstance(text, str) or len(text) != cut.length or not text.startswith(cut.head):
        return False
    return cut.sha256 is None or hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == cut.sha256


def cut_output(payload: Any, outcome: Any, looks_at: Callable[[str], bool] = bool) -> Unkept | None:
    """Something of what a task printed or returned that is cut since it was recorded, among what a condition looks at.

    `looks_at` says so of "stdout", "stderr", "value" and "json".
    """
    if outcome is None or not outcome._metadata or not outcome._metadata.get("truncated"):
        return None  # as nearly always: a payload may be large
    stdout, stderr = outcome.stdout, outcome.stderr
    if type(stdout) is Beginning and (looks_at("stdout") or looks_at("json")):
        return stdout.lost
    if type(stderr) is Beginning and looks_at("stderr"):
        return stderr.lost
    if looks_at("value") or (stdout is None and looks_at("json")):
        return first_unkept(payload, is_cut=True)
    return None


class Keeper:
    """Makes values fit for records, for one run. Never raises.

    `spill` keeps long texts. `lost` is called with a description of each value that is not kept.
    """

    __slots__ = ("_parts", "_path", "lost", "spill")

    def __init__(self, spill: Spill | None = None, lost: Callable[[str], None] | None = None) -> None:
        self.spill, self.lost = spill, lost
        self._path: set[int] = set()
        self._parts = 0

    def keep(self, value: Any) -> Any:
        """`value`, or what stands for it in a record."""
        if value is None or type(value) is bool:
            return value
        if type(value) is str:
            return value if len(value) <= MAX_TEXT else self._long(value)
        self._path, self._parts = set(), 0
        try:
            return self._of(value)
        except RecursionError:
            return self._unkept(value)

    def text(self, value: Any) -> Any:
        """A text, whole or by a marker; anything else as `keep`."""
        return self.keep(value)

    def _of(self, value: Any) -> Any:
        kind = type(value)
        self._parts += 1
        if kind is str:
            return value if len(value) <= MAX_TEXT else self._long(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            return value if value.bit_length() <= MOST_BITS else self._taken_apart(value)
        if kind is float:
            return value if math.isfinite(value) else self._taken_apart(value)
        if kind is Unkept:
            return _marker(value)
        if kind is Beginning:
            return _marker(value.lost)
        if not issubclass(kind, _COLLECTIONS):
            return self._foreign(value)
        if id(value) in self._path or len(self._path) >= MAX_DEPTH or self._parts > MAX_PARTS:
            return self._unkept(value, described(value))
        self._path.add(id(value))
        try:
            return self._followed(value, kind)
        except Exception:  # a subclass whose own code failed: whoever reads the record is told that it was not kept
            return self._unkept(value)
        finally:
            self._path.discard(id(value))

    def _followed(self, value: Any, kind: type) -> Any:
        if issubclass(kind, dict):
            if not all(type(key) is str for key in value):
                return self._keyed(value)
            kept = {key: self._of(item) for key, item in value.items()}
            return {DICT: kept} if len(kept) == 1 and not _MARKERS.isdisjoint(kept) else kept
        items = [self._of(item) for item in value]
        if issubclass(kind, list):
            return items
        if issubclass(kind, tuple):
            return {PYTHON: ["tuple", *items]}
        if not _come_back(items, len(value)):
            return self._unkept(value)
        return {PYTHON: ["set" if issubclass(kind, set) else "frozenset", *items]}

    def _keyed(self, value: dict[Any, Any]) -> dict[str, Any]:
        """A dictionary whose keys are not all texts."""
        keys = [self._of(key) for key in value]
        if not _come_back(keys, len(value)):
            return self._unkept(value)
        items = [self._of(item) for item in value.values()]
        return {PYTHON: ["dict", *(part for pair in zip(keys, items, strict=True) for part in pair)]}

    def _foreign(self, value: Any) -> Any:
        """Of a subclass of a plain type the plain value, as everywhere else."""
        kind = type(value)
        try:
            if issubclass(kind, str):
                return self._of(str(value.value if issubclass(kind, Enum) else value))
            if issubclass(kind, int):
                return self._of(int(value))
            if issubclass(kind, float):
                return self._of(float(value))
        except Exception:  # as above
            return self._unkept(value)
        return self._taken_apart(value)

    def _taken_apart(self, value: Any) -> dict[str, Any]:
        taken = apart(value)
        if taken is None:
            return self._unkept(value)
        name, parts = taken
        if type(parts[0]) is str and len(parts[0]) > MAX_TEXT and not isinstance(value, (bytes, bytearray)):
            return self._unkept(value)  # of a text that is cut the beginning is left, and of bytes that is one, too
        return {PYTHON: [name, *(self._of(part) for part in parts)]}

    def _unkept(self, value: Any, shape: Any = None) -> dict[str, Any]:
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        text = described(value)
        shape = plain(value) if shape is None else shape
        if isinstance(shape, str) and len(shape) > MAX_TEXT:
            shape = shape[:MAX_TEXT]
        if self.lost is not None:
            self.lost(f"{_a(name)}: {text}")
        return _marker(Unkept(name, text, shape))

    def _long(self, text: str) -> dict[str, Any]:
        kept = self.spill(text) if self.spill is not None else None
        if kept is None:
            if self.lost is not None:
                self.lost(f"a text of {len(text)} characters")
            return {TEXT: {"head": text[:MAX_TEXT], "length": len(text)}}
        file, sha256 = kept
        return {TEXT: {"head": text[:HEAD], "length": len(text), "file": file, "sha256": sha256}}


def _come_back(kept: list[Any], count: int) -> bool:
    """Whether so many members of a set, or keys, come back as so many, with nothing unkept among them."""
    try:
        found = [restored(item, _head) for item in kept]
        return len(set(found)) == count and first_unkept(found) is None
    except (TypeError, ValueError):  # a list by another class, for one, which could be hashed as that
        return False


def _head(text: LongText) -> str:
    return text.head


def _marker(value: Unkept) -> dict[str, Any]:
    if value.recorded is not None:
        return value.recorded
    told = {"type": value.type_name, "text": value.text}
    if value.plain != value.text:
        told["plain"] = value.plain
    return {UNKEPT: told}


def restored(value: Any, long: Callable[[LongText], Any]) -> Any:
    """The inverse of `Keeper.keep`; `long` says what to put in the place of a text that is not in the record.

    Raises:
        ValueError: a marker is not as it has to be.
    """
    if type(value) in _ATOMS:
        return value
    if type(value) is list:
        return [restored(item, long) for item in value]
    if len(value) == 1:
        ((key, told),) = value.items()
        if key in _MARKERS:
            return _restored_marker(key, told, long)
    return {key: restored(item, long) for key, item in value.items()}


def _restored_marker(key: str, told: Any, long: Callable[[LongText], Any]) -> Any:
    if key == PYTHON:
        return _restored_python(told, long)
    if not isinstance(told, dict):
        raise ValueError(f"a marker {key!r} without its parts")
    if key == DICT:
        return {name: restored(item, long) for name, item in told.items()}
    if key == UNKEPT:
        name, text = told.get("type"), told.get("text")
        if not isinstance(name, str) or not isinstance(text, str):
            raise ValueError(f"a marker {key!r} without type and text")
        return Unkept(name, text, told.get("plain"))
    head, length, file, sha256 = (told.get(part) for part in ("head", "length", "file", "sha256"))
    if not isinstance(head, str) or not isinstance(length, int):
        raise ValueError(f"a marker {key!r} without head and length")
    return long(LongText(head, length, file, sha256))


def _restored_python(told: Any, long: Callable[[LongText], Any]) -> Any:
    if type(told) is not list or not told:
        raise ValueError(f"a marker {PYTHON!r} without its parts")
    name, parts = told[0], [restored(part, long) for part in told[1:]]
    hashed = parts if name in ("set", "frozenset") else parts[::2] if name == "dict" else []
    lost = first_unkept(hashed)
    if lost is not None:
        recorded = None if lost.cut is None else {PYTHON: told}
        return Unkept(name, f"one with {lost.text[:HEAD]} in it", cut=lost.cut, recorded=recorded)
    if name not in ("tuple", "dict") and (lost := first_unkept(parts)) is not None:
        return Unkept(name, beginning(name, lost.text), cut=lost.cut, recorded={PYTHON: told})
    try:
        return together(name, parts)
    except NotHereError as error:
        return Unkept(name, f"{', '.join(map(str, parts))}; {error}")
