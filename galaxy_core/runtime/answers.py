"""Answers: what a session returned, checked before the kernel relies on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from logging import Logger
from typing import Any, Final

from galaxy_core.errors import DeviceLostError, PluginError
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Transport, Unknown
from galaxy_core.extension.transports import features_of
from galaxy_core.model.reasons import is_failure, leaves, message_of, shown, text_of
from galaxy_core.runtime.blaming import blamed

#: Of an exit code: none that a system gives has more, and records and reports have to be able to write it.
MOST_BITS: Final = 64
#: In a result's metadata: why the far side of a stopped attempt may still be at work.
MAY_STILL_RUN: Final = "may_still_run"


def awaitable(answer: Any, transport: str) -> Awaitable[Outcome]:
    """What a session's `execute` returned at once, if it can be awaited.

    Raises:
        PluginError: it cannot.
    """
    if isawaitable(answer):
        return answer
    what = f"transport {transport!r}: `execute` of its session returned {type(answer).__name__} without being awaited"
    raise PluginError(transport, f"{what}; make it `async def execute`")


def sound(outcome: Any, transport: str) -> Outcome:
    """`outcome` itself, when it is one and every field is of its kind.

    Otherwise one that the kernel can work with: a failure that names the transport, the field, what was found and what
    is allowed, with the fields that are sound. What was refused or is unknown stays so, whatever its reason is.
    """
    if type(outcome) is Completed and _is_plain(outcome):
        return outcome
    if _is(outcome, Completed):
        return _completed(outcome, transport)
    for kind in (Refused, Unknown):
        if _is(outcome, kind):
            values, wrong = _read(outcome, {"reason": ("text", _text)})
            reason = _complaint(transport, kind.__name__, wrong) if wrong else values["reason"] or "no reason given"
            return Refused(reason) if kind is Refused else _unknown(outcome, reason, transport)
    what = f"transport {transport!r} returned {type(outcome).__name__} instead of Completed, Refused or Unknown"
    return Completed(error=PluginError(transport, what))


def left_behind(
    attempt: Attempt | None, transport: str, logger: Logger, masked: Callable[[str], str] = str
) -> Completed | Unknown | None:
    """What an attempt that was interrupted had said until then, checked likewise; `Unknown` when it may still run.

    The log receives what is wrong with it, as `masked` gives it back.
    """
    said = attempt.partial if attempt is not None else None
    if said is None:
        return None
    checked = sound(said, transport)
    if type(checked) is Unknown:
        return checked
    if checked is not said or type(checked) is not Completed:
        why = checked.error if type(checked) is Completed else f"{type(said).__name__} instead of Completed or Unknown"
        logger.warning("what transport %r left of an attempt is of no use: %s", transport, masked(str(why)))
    return checked if type(checked) is Completed else None


def broken_off(
    attempt: Attempt, error: BaseException, transport: str, *, native: bool = True, device_id: str = ""
) -> Outcome:
    """What follows from an exception of `execute`: a failure; but of what was sent, nobody knows how it ended."""
    failure = blamed(error, "transport", transport, native=native)
    if attempt.progress == "new":
        return Completed(error=failure)
    said = attempt.partial
    partial = said.said if isinstance(said, Unknown) else said
    checked = None if partial is None else sound(partial, transport)
    kept = checked if type(checked) is Completed else None
    return Unknown(f"its session on device {device_id!r} broke after it was sent: {message_of(failure)}", kept)


def loss_in(error: BaseException) -> DeviceLostError | None:
    """That a device is lost, if that is what an exception says: itself, or all of the group that a task group made of it."""
    if isinstance(error, DeviceLostError):
        return error
    if isinstance(error, BaseExceptionGroup):
        losses = [leaf for leaf in leaves(error) if isinstance(leaf, DeviceLostError)]
        return losses[0] if losses and len(losses) == len(list(leaves(error))) else None
    return None


def when_lost(
    attempt: Attempt | None, reason: str, transport: Transport | None, said: Completed | None = None
) -> Outcome:
    """What a lost device makes of an attempt: nobody knows. But what was certainly not sent yet did not start."""
    if attempt is not None and attempt.progress == "new" and "sends" in features_of(transport):
        return Refused(reason)
    return Unknown(reason, said)


def _is_plain(outcome: Completed) -> bool:
    """Whether it is what nearly all are: nothing in it can be anything else than it looks like."""
    return (
        (outcome.exit_code is None or (type(outcome.exit_code) is int and outcome.exit_code.bit_length() <= MOST_BITS))
        and (outcome.stdout is None or type(outcome.stdout) is str)
        and (outcome.stderr is None or type(outcome.stderr) is str)
        and (outcome.error is None or (type(outcome.error) is str and bool(outcome.error)))
        and outcome.files is None
        and (outcome.metadata is None or type(outcome.metadata) is dict)
        and (outcome.truncated is False or outcome.truncated is True)
    )


def _completed(outcome: Completed, transport: str) -> Completed:
    values, wrong = _read(outcome, _FIELDS)
    error = values["error"]
    if wrong:
        told = "" if error is None else f". Its error: {message_of(error)}"
        failure = PluginError(transport, _complaint(transport, "Completed", wrong) + told)
        failure.__cause__ = error if isinstance(error, BaseException) else None
        values["error"] = failure
    elif error == "":
        values["error"] = f"transport {transport!r} says that it failed, and not why"
    return Completed(**values)


def _unknown(outcome: object, reason: str, transport: str) -> Unknown:
    """What was said until then stays, if it is of use: it only helps whoever looks into what happened."""
    said = getattr(outcome, "said", None)
    checked = None if said is None else sound(said, transport)
    if checked is said and type(outcome) is Unknown and outcome.reason is reason:
        return outcome
    return Unknown(reason, checked if type(checked) is Completed else None)


def _read(outcome: object, fields: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> tuple[dict[str, Any], list[str]]:
    """The fields that are sound, None in place of each other; and what is wrong with those."""
    values: dict[str, Any] = dict.fromkeys(fields)
    wrong = []
    for name, (allowed, of) in fields.items():
        found = "nothing"
        try:
            value = getattr(outcome, name)
            found = shown(value)
            values[name] = of(value)
        except BaseException as error:  # whoever reads the failure receives it
            if not is_failure(error):
                raise
            why = "" if type(error) is TypeError else f" ({type(error).__name__})"
            wrong.append(f"{name}: found {found}{why}; allowed is {allowed}")
    return values, wrong


def _complaint(transport: str, kind: str, wrong: list[str]) -> str:
    return f"transport {transport!r} returned {kind} with {'; '.join(wrong)}"


def _is(value: Any, kind: type) -> bool:
    """Asks the type alone: what a foreign object says of itself may be anything."""
    return issubclass(type(value), kind)


def _text(value: Any) -> str:
    if not _is(value, str):
        raise TypeError
    return str.__str__(value)


def _optional(of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else of(value)


def _number(value: Any) -> int:
    if not _is(value, int):
        raise TypeError
    number = int.__int__(value)
    if number.bit_length() > MOST_BITS:
        raise TypeError
    return number


def _error(value: Any) -> BaseException | str:
    return value if _is(value, BaseException) else _text(value)


def _files(value: Any) -> dict[str, str]:
    if not _is(value, Mapping):
        raise TypeError
    return {_text(name): _text(value[name]) for name in value}


def _metadata(value: Any) -> dict[str, Any]:
    if not _is(value, dict):
        raise TypeError
    return dict(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "value": ("anything", lambda value: value),
    "exit_code": (f"a whole number (int) of at most {MOST_BITS} bits or None", _optional(_number)),
    "stdout": ("text (str) or None", _optional(_text)),
    "stderr": ("text (str) or None", _optional(_text)),
    "error": ("an exception, text or None", _optional(_error)),
    "files": ("a mapping of names (str) to paths (str), or None", _optional(_files)),
    "metadata": ("a dict or None", _optional(_metadata)),
    "truncated": ("True or False", _flag),
}


def why_lost(error: DeviceLostError) -> str:
    """Why a device is lost; of a class of its own, a transport may have left out to say it."""
    why = getattr(error, "why", None)
    return why if type(why) is str and why else text_of(error)
