"""Requests and retry policies as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import fields

from galaxy_core.model.policy import RETRIED, RetryPolicy, unknown_end, wanted_of_retry
from galaxy_core.model.reading import UnfitError, as_mapping, inside, text_at, texts_at, unfit
from galaxy_core.model.request import Action, Command, Reference, Request

_KINDS: Final = ("run", "shell", "action", "call")
_COMMAND_KEYS: Final = ("cwd", "env", "stdin", "files", "outputs")
#: The keys of a request, in plan files and in documents.
REQUEST_KEYS: Final = (*_KINDS, *_COMMAND_KEYS)
_RETRY_KEYS: Final = tuple(part.name for part in fields(RetryPolicy))
_REFERENCE: Final = "text or a reference such as {from: TASK, value: stdout}"


def retry_to_dict(policy: RetryPolicy) -> dict[str, Any]:
    """The keys of a retry policy; the ends are sorted."""
    return {
        "backoff_s": policy.backoff_s,
        "factor": policy.factor,
        "max_backoff_s": policy.max_backoff_s,
        "jitter": policy.jitter,
        "on": sorted(policy.on),
    }


def retry_from_dict(document: Any) -> RetryPolicy:
    """The inverse of `retry_to_dict`; what is left out is as usual.

    Raises:
        ValueError: it is no such document, or the policy cannot be.
    """
    keys = dict(as_mapping(document))
    _refuse_unknown(keys, _RETRY_KEYS)
    for key, value in keys.items():
        if key != "on" and (wanted := wanted_of_retry(key, value)) is not None:
            raise unfit(value, wanted, key)
    if "on" in keys:
        if (ends := texts_at(keys, "on")) is None:
            raise unfit(None, "a list of texts", "on")
        for place, end in enumerate(ends):
            if end not in RETRIED:
                raise UnfitError(("on", place), unknown_end(end))
    return RetryPolicy(**keys)


def request_from_dict(document: Any) -> Request | None:
    """The inverse of the requests' ``to_dict``; None for a call, which no document can hold.

    Raises:
        ValueError: neither `run`, `shell`, `action` nor `call` is there, or two of them are, or one is not as it has to
            be; it names the place.
    """
    keys = {key: value for key, value in as_mapping(document).items() if value is not None}
    kinds = [kind for kind in _KINDS if kind in keys]
    if len(kinds) != 1:
        raise UnfitError(
            (), f"a request is one of run, shell, action and call, not {' and '.join(kinds) or 'none of them'}"
        )
    (kind,) = kinds
    _refuse_unknown(keys, (kind, *_COMMAND_KEYS) if kind in ("run", "shell") else (kind,))
    if kind == "call":
        return None
    return inside("action", _action, keys["action"]) if kind == "action" else _command(keys)


def _refuse_unknown(keys: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in keys:
        if key not in known:
            from galaxy_core.model.explain import hint  # loads much, and only who errs needs it

            allowed = ", ".join(map(repr, known))
            raise UnfitError((key,), f"unknown key {key!r}{hint(key, known)}; allowed are {allowed}")


def _action(action: Any) -> Action:
    entries = as_mapping(action)
    if len(entries) != 1:
        raise unfit(action, "a mapping of the name of one action to its arguments")
    ((name, arguments),) = entries.items()
    taken = {} if arguments is None else inside(name, as_mapping, arguments)
    return Action(name, {key: inside(name, _argument, key, value) for key, value in taken.items()})


def _argument(key: str, value: Any) -> Any:
    """An argument of an action: a reference, or anything."""
    is_reference = isinstance(value, Mapping) and "from" in value and set(value) <= {"from", "value"}
    return inside(key, _reference, value) if is_reference else value


def _reference(found: Mapping[str, Any]) -> Reference:
    task_id, value = text_at(found, "from"), text_at(found, "value")
    if task_id is None:
        raise unfit(None, "the id of a task", "from")
    return Reference(task_id, "stdout" if value is None else value)


def _text_or_reference(found: Any) -> str | Reference:
    if isinstance(found, str):
        return found
    if isinstance(found, Mapping) and "from" in found:
        _refuse_unknown(as_mapping(found), ("from", "value"))
        return _reference(found)
    raise unfit(found, _REFERENCE)


def _command(keys: Mapping[str, Any]) -> Command:
    run, stdin = keys.get("run"), keys.get("stdin")
    return Command(
        argv=None if run is None else inside("run", _argv, run),
        shell=text_at(keys, "shell"),
        cwd=text_at(keys, "cwd"),
        env=inside("env", _texts_by_name, keys.get("env") or {}),
        stdin=None if stdin is None else inside("stdin", _text_or_reference, stdin),
        files=inside("files", _texts_by_name, keys.get("files") or {}),
        outputs=texts_at(keys, "outputs") or (),
    )


def _argv(run: Any) -> list[str | Reference]:
    if isinstance(run, str):
        wanted = "; write each argument as an item, or use 'shell' for a line of shell"
        raise UnfitError((), f"{unfit(run, 'a list').text}{wanted}")
    if not isinstance(run, (list, tuple)):
        raise unfit(run, "a list")
    if not run:
        raise UnfitError((), "found an empty list; it cannot be empty")
    return [inside(place, _text_or_reference, part) for place, part in enumerate(run)]


def _texts_by_name(found: Any) -> dict[str, str | Reference]:
    return {name: inside(name, _text_or_reference, value) for name, value in as_mapping(found).items()}
