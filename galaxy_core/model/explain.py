"""What pydantic found, in sentences that say what stands there, what may stand there, and what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from galaxy_core.model.places import Findings, Place
from galaxy_core.model.source import described

#: Words of other tools of this kind, and ours.
_SYNONYMS: Final[Mapping[str, str]] = {
    "after": "needs",
    "any": "always",
    "args": "run",
    "argv": "run",
    "cmd": "run",
    "command": "run",
    "concurrency": "max_concurrency",
    "depends": "needs",
    "depends_on": "needs",
    "directory": "cwd",
    "end": "completion",
    "environment": "env",
    "exec": "run",
    "finished": "completion",
    "if": "when",
    "input": "stdin",
    "os": "device_type",
    "platform": "device_type",
    "retries": "retry",
    "retry_count": "retry",
    "script": "shell",
    "tags": "requires",
    "timeout": "timeout_s",
    "type": "device_type",
    "working_directory": "cwd",
}
_REFERENCE: Final = "text or a reference such as {from: TASK, value: stdout}"
_WANTED: Final[Mapping[str, str]] = {
    "dict_type": "a mapping",
    "float_type": "a number",
    "id_or_need": "a task's id or a mapping such as {task: ID, on: completion}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "string_type": "text",
    "text_or_reference": _REFERENCE,
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "finite_number": ("a finite number", ""),
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}


def likely(name: str, allowed: Iterable[str]) -> str | None:
    """The one of `allowed` that `name` was probably meant to be; None when none is near."""
    known = {choice.casefold(): choice for choice in allowed}
    folded = name.casefold().strip()
    if _SYNONYMS.get(folded) in known:
        return _SYNONYMS[folded]
    near = difflib.get_close_matches(folded, known, n=1, cutoff=0.6)
    return known[near[0]] if near else None


def hint(name: object, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    near = likely(name, allowed) if isinstance(name, str) else None
    return f"; did you mean {near!r}?" if near else ""


def explain(
    errors: Sequence[Mapping[str, Any]],
    keys_at: Callable[[Place], Sequence[str]],
    patterns: Mapping[str, str],
    findings: Findings,
) -> None:
    """Add a sentence for each of pydantic's `errors`.

    `keys_at` tells the keys that the mapping at a place (with the tags of unions, which begin with NUL) may have;
    `patterns` says each pattern in words.
    """
    for error in errors:
        if findings.is_full:
            findings.more += 1
            continue
        place: Place = error["loc"]
        kind = error["type"]
        if kind == "missing":
            text = f"{place[-1]!r} is missing"
            findings.add(_untagged(place[:-1]), text)
        elif kind == "extra_forbidden":
            allowed = keys_at(place[:-1])
            listed = ", ".join(map(repr, allowed))
            text = f"unknown key {_short(place[-1])}{hint(place[-1], allowed)}; allowed are {listed}"
            findings.add(_untagged(place), text)
        elif place[-1:] == ("[key]",):
            findings.add(_untagged(place[:-1]), _key_sentence(error, patterns))
        else:
            findings.add(_untagged(place), sentence(error, patterns))


def _untagged(place: Place) -> Place:
    return tuple(part for part in place if not (isinstance(part, str) and part.startswith("\0")))


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 80 else text[:79] + "…"


def _key_sentence(error: Mapping[str, Any], patterns: Mapping[str, str]) -> str:
    key = error["input"]
    if error["type"] == "string_pattern_mismatch":
        return f"{_short(key)} cannot be a key here: {patterns[error['ctx']['pattern']]}"
    return f"{_short(key)} cannot be a key: keys are text"


def sentence(error: Mapping[str, Any], patterns: Mapping[str, str]) -> str:
    """What stands there, and what may."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    found = f"found {described(value, show='settings' not in error['loc'])}"
    match kind:
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            return f"{found}; allowed are {', '.join(map(repr, allowed))}{hint(value, allowed)}"
        case "string_pattern_mismatch":
            return f"{found}: {patterns[context['pattern']]}"
        case "string_unicode":
            return "half of a surrogate pair is not text; write the whole character"
        case "too_short" | "string_too_short":
            return f"{found}; it cannot be empty"
        case "too_long" if isinstance(value, Mapping):
            return f"found {', '.join(_short(key) for key in value)}; only one of these can stand here"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        bound = f" {context[name]:g}" if name else ""
        return f"{found}; it must be {words}{bound}"
    if kind in _WANTED:
        return f"{found}; {_WANTED[kind]} is wanted here{_remedy(kind, error)}"
    return f"{found}; {error['msg']}"


def _remedy(kind: str, error: Mapping[str, Any]) -> str:
    """How to write what was probably meant."""
    value, key = error["input"], next((part for part in reversed(error["loc"]) if isinstance(part, str)), "")
    if kind in {"string_type", "text_or_reference", "id_or_need"} and not isinstance(value, (list, dict, type(None))):
        return f"; quote it: '{str(value).lower() if isinstance(value, bool) else value}'"
    if kind == "list_type" and isinstance(value, str):
        if key == "run":
            return "; write each argument as an item, or use 'shell' for a line of shell"
        return f"; write [{value}]" if len(value) <= 60 else ""
    if kind == "dict_type":
        if value is None:
            return "; write {} for none"
        if key == "action" and isinstance(value, str):
            return f"; write {{{value}: {{}}}}"
        if key == "retry" and isinstance(value, int):
            return f"; write {{count: {value}}}"
    if kind == "list_type" and value is None:
        return "; write [] for none, or leave the key out"
    return ""
