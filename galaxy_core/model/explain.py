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
    "capabilities": "requires",
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
    "idempotent": "effect",
    "if": "when",
    "input": "stdin",
    "once": "effect",
    "os": "device_type",
    "platform": "device_type",
    "read_only": "effect",
    "readonly": "effect",
    "requires": "capabilities",
    "retries": "retry",
    "retry_count": "retry",
    "script": "shell",
    "side_effect": "effect",
    "side_effects": "effect",
    "tags": "requires",
    "timeout": "timeout_s",
    "type": "device_type",
    "working_directory": "cwd",
}
_REFERENCE: Final = "text or a reference such as {from: TASK, value: stdout}"
#: How a secret is written in an inventory.
_SECRETS: Final = frozenset({"env", "file", "keyring"})
#: Keys by which somebody would put one into a plan.
_CREDENTIALS: Final = frozenset(
    {
        "api_key",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "secret",
        "secrets",
        "token",
        "username",
    }
)
_NO_SECRETS: Final = (
    "secrets do not stand in a plan: {env: NAME}, {file: PATH} and {keyring: SERVICE/USER} belong into the inventory, "
    f"in the settings of the device; {_REFERENCE} is wanted here"
)
_WANTED: Final[Mapping[str, str]] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "decimal_parsing": "a number",
    "decimal_type": "a number",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "id_or_need": "a task's id or a mapping such as {task: ID, on: completion}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a mapping",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "nothing (null)",
    "path_type": "a path",
    "set_type": "a list",
    "string_type": "text",
    "text_or_reference": _REFERENCE,
    "tuple_type": "a list",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "finite_number": ("a finite number", ""),
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
#: Errors with sentences of the author of a model, not of pydantic.
AUTHORS: Final = frozenset({"value_error", "assertion_error"})


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
    *,
    about: Callable[[Place], str | None] = lambda place: None,
    show: bool = True,
) -> None:
    """Add a sentence for each of pydantic's `errors`.

    `keys_at` tells the keys that the mapping at a place (with the tags of unions, which begin with NUL) may have;
    `about` what the value at a place means, for who has left it out; `patterns` says each pattern in words. `show`
    False keeps values out of the sentences, as they always are below a key `settings`.
    """
    meant = {
        (*error["loc"][:-1], near)
        for error in errors
        if error["type"] == "extra_forbidden" and isinstance(error["loc"][-1], str)
        if (near := likely(error["loc"][-1], keys_at(error["loc"][:-1]))) is not None
    }
    secrets = {error["loc"][:-1] for error in errors if _is_secret(error)}
    told: set[Place] = set()
    for error in errors:
        if findings.is_full:
            findings.more += 1
            continue
        place: Place = error["loc"]
        kind = error["type"]
        if place[:-1] in secrets:
            if place[:-1] not in told:
                findings.add(_untagged(place[:-1]), _NO_SECRETS)
            told.add(place[:-1])
            continue
        if kind == "missing" and place in meant:
            continue  # it is there, misspelt, and that is told
        if kind == "missing":
            meaning = about(place)
            name = repr(place[-1]) if isinstance(place[-1], str) else f"entry {place[-1] + 1}"
            text = f"{name} is missing{f': {meaning}' if meaning else ''}"
            findings.add(_untagged(place[:-1]), text)
        elif kind == "extra_forbidden":
            allowed = keys_at(place[:-1])
            listed = ", ".join(map(repr, allowed)) or "none"
            text = f"unknown key {_short(place[-1])}{hint(place[-1], allowed)}; allowed are {listed}"
            if place[:1] == ("tasks",) and str(place[-1]).casefold() in _CREDENTIALS:
                text += f"; {_NO_SECRETS.partition(';')[0]}"
            findings.add(_untagged(place), text)
        elif place[-1:] == ("[key]",):
            findings.add(_untagged(place[:-1]), _key_sentence(error, patterns))
        else:
            findings.add(_untagged(place), sentence(error, patterns, show and "settings" not in place))


def _is_secret(error: Mapping[str, Any]) -> bool:
    """Whether it lacks the task of a reference because a secret is written there, as in an inventory."""
    place, value = error["loc"], error["input"]
    is_reference = error["type"] == "missing" and place[-1] == "from" and place[-2:-1] == ("\0reference",)
    # among the files of a command, {file: PATH} is meant otherwise
    return is_reference and "files" not in place[2:3] and len(value) == 1 and set(value) <= _SECRETS


def _untagged(place: Place) -> Place:
    return tuple(part for part in place if not (isinstance(part, str) and part.startswith("\0")))


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 80 else text[:79] + "…"


def _key_sentence(error: Mapping[str, Any], patterns: Mapping[str, str]) -> str:
    key = error["input"]
    if not isinstance(key, str):
        return f"{_short(key)} cannot be a key: keys are text"
    return f"{_short(key)} cannot be a key here: {sentence(error, patterns, False).removeprefix('found a text').lstrip(':; ')}"


def sentence(error: Mapping[str, Any], patterns: Mapping[str, str], show: bool = True) -> str:
    """What stands there, and what may."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    found = f"found {described(value, show)}"
    match kind:
        case "literal_error" | "enum":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            others = re.search(r"\b(?!or\b)\w", re.sub(r"'[^']*'", "", context["expected"]))  # numbers or the like
            listed = context["expected"] if others else ", ".join(map(repr, allowed))
            return f"{found}; allowed are {listed}{hint(value, allowed)}"
        case "string_pattern_mismatch":
            words = patterns.get(context["pattern"]) or f"it must match the regular expression {context['pattern']}"
            return f"{found}: {words}"
        case "string_unicode":
            return "half of a surrogate pair is not text; write the whole character"
        case "too_short" | "string_too_short" if context.get("min_length", 1) <= 1:
            return f"{found}; it cannot be empty"
        case "too_long" if isinstance(value, Mapping) and context.get("max_length") == 1:
            return f"found {', '.join(_short(key) for key in value)}; only one of these can stand here"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            return f"{found}; {_length_wanted(kind, context)}"
        case "union_tag_invalid":
            return f"{found}; {context['discriminator']} must be one of {context['expected_tags']}"
        case "union_tag_not_found":
            return f"{found}; it needs the key {context['discriminator']}"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        bound = f" {_number(context[name])}" if name else ""
        return f"{found}; it must be {words}{bound}"
    if kind in _WANTED:
        return f"{found}; {_WANTED[kind]} is wanted here{_remedy(kind, error) if show else ''}"
    return _in_other_words(found, error)


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _length_wanted(kind: str, context: Mapping[str, Any]) -> str:
    least = kind.endswith("short")
    unit = "characters" if kind.startswith("string") else "entries"
    return f"it must have at {'least' if least else 'most'} {context['min_length' if least else 'max_length']} {unit}"


def _in_other_words(found: str, error: Mapping[str, Any]) -> str:
    """For kinds that no table has: those of the author of a model, and the rare ones of pydantic."""
    text = " ".join(str(error["msg"]).split())
    if error["type"] in AUTHORS:
        text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return text if isinstance(error["input"], (Mapping, list)) else f"{found}; {text}"
    if text.startswith("Input should be "):
        wanted = text.removeprefix("Input should be ").partition(", ")[0]
        return f"{found}; {wanted.replace(' valid ', ' ')} is wanted here"
    return f"{found}; {text}"


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
        if value is None and error["loc"][:-1] == ("tasks",):
            return "; a task needs something to do, such as run: [echo, hello]"
        if value is None:
            return "; write {} for none"
        if key == "action" and isinstance(value, str):
            return f"; write {{{value}: {{}}}}"
        if key == "retry" and isinstance(value, int):
            return f"; write {{count: {value}}}"
    if kind == "list_type" and value is None:
        return "; write [] for none, or leave the key out"
    return ""
