"""The actions of this transport, performed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, evolve

from galaxy_core import Action, Command
from galaxy_core.errors import TransferError
from galaxy_core.extension.adapter.names import remote_path
from galaxy_core.extension.adapter.posix import quote
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core.extension.models import validated, with_paths
from galaxy_core_adb import apk, forwarding, reboot, requests, screen
from galaxy_core_adb.commands import run_command
from galaxy_core_adb.failures import AdbFailureError
from galaxy_core_adb.files import Files
from galaxy_core_adb.texts import one_line

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

#: What Android's commands say when they fail and nevertheless end with 0.
_FAILED: Final = re.compile(r"^\s*(Error\b|Error:|Exception|java\.lang\.|Failure\b)", re.MULTILINE)
_BATTERY_STATUS: Final = {1: "unknown", 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
_BATTERY_LINE: Final = re.compile(r"^  ([A-Za-z][\w ]*): (.*?)\r?$", re.MULTILINE)


async def perform(session: AdbSession, attempt: Attempt, action: Action) -> Outcome:
    """Perform it to its end.

    Raises:
        AdbFailureError: nothing was sent, and nothing can be.
    """
    model = requests.ACTIONS.get(action.name)
    if model is None:
        return Refused(f"transport 'adb' has no action {action.name!r}; it has {', '.join(sorted(requests.ACTIONS))}")
    arguments, problems = validated(model, dict(action.arguments))
    if problems:
        each = "; ".join(f"{path}: {text}" if path else text for path, text in with_paths(problems))
        return Refused(f"action {action.name!r}: {each}")
    return await _PERFORMERS[action.name](session, attempt, arguments)


async def _push(session: AdbSession, attempt: Attempt, push: requests.Push) -> Outcome:
    settings = session.settings
    files = Files(session, attempt.mark, Sources(attempt, session.files_root))
    try:
        target = remote_path(settings.root, push.target, allow_any=settings.allow_any_path)
        copied = await files.push(push.source, target, int(push.mode, 8), attempt.sent)
    except TransferError as error:
        return Completed(error=error)
    except ValueError as error:
        return Refused(f"{push.source!r} cannot be pushed: {error}")
    except AdbFailureError as error:
        if attempt.progress == "new":
            raise
        return Unknown(f"the way to the device broke off when the file was to be put in place: {error}")
    except BaseException:  # goes on to the kernel
        if attempt.progress != "new":
            attempt.partial = Unknown("the file may have been put in place already")
        raise
    return Completed(value=asdict(copied))


async def _pull(session: AdbSession, attempt: Attempt, pull: requests.Pull) -> Outcome:
    settings = session.settings
    sources = Sources(attempt, session.files_root)
    try:
        path = remote_path(settings.root, pull.path, allow_any=settings.allow_any_path)
        target = sources.target(pull.name)
    except ValueError as error:
        return Refused(f"{pull.path!r} cannot be pulled: {error}")
    try:
        copied = await Files(session, attempt.mark, sources).pull(path, target)
    except TransferError as error:
        return Completed(error=error)
    return Completed(value=asdict(copied), files={pull.name: str(target)})


async def _input(session: AdbSession, attempt: Attempt, *words: object) -> Outcome:
    return _checked(await run_command(session, attempt, Command(["input", *(str(word) for word in words)])))


async def _tap(session: AdbSession, attempt: Attempt, tap: requests.Tap) -> Outcome:
    return await _input(session, attempt, "tap", tap.x, tap.y)


async def _swipe(session: AdbSession, attempt: Attempt, swipe: requests.Swipe) -> Outcome:
    return await _input(session, attempt, "swipe", swipe.x1, swipe.y1, swipe.x2, swipe.y2, swipe.duration_ms)


async def _key(session: AdbSession, attempt: Attempt, key: requests.Key) -> Outcome:
    return await _input(session, attempt, "keyevent", key.key)


async def _text(session: AdbSession, attempt: Attempt, text: requests.Text) -> Outcome:
    """`input text` types a blank for "%s", and cannot type that itself: so it is typed in two pieces."""
    pieces = re.split(r"(?<=%)(?=s)", text.text)
    steps = (f"input text {quote(piece.replace(' ', '%s'))}" for piece in pieces)
    return _checked(await run_command(session, attempt, Command(None, " && ".join(steps))))


async def _uninstall(session: AdbSession, attempt: Attempt, uninstall: requests.Uninstall) -> Outcome:
    words = ["pm", "uninstall", *(["-k"] if uninstall.keep_data else []), uninstall.package]
    return apk.judged(await run_command(session, attempt, Command(words)))


async def _start_activity(session: AdbSession, attempt: Attempt, start: requests.StartActivity) -> Outcome:
    words = ["am", "start", *(["-W"] if start.wait else []), "-n", start.component]
    words += ["-a", start.action] if start.action else []
    words += ["-d", start.data] if start.data else []
    for name, value in start.extras.items():
        kind = "--ez" if isinstance(value, bool) else "--ei" if isinstance(value, int) else "--es"
        words += [kind, name, str(value).lower() if isinstance(value, bool) else str(value)]
    return _checked(await run_command(session, attempt, Command(words)))


async def _battery(session: AdbSession, attempt: Attempt, _nothing: requests.Battery) -> Outcome:
    outcome = _checked(await run_command(session, attempt, Command(["dumpsys", "battery"])))
    if not isinstance(outcome, Completed) or outcome.error is not None or outcome.exit_code != 0:
        return outcome
    found = {name.strip(): value.strip() for name, value in _BATTERY_LINE.findall(outcome.stdout or "")}
    if not found.get("level", "").isdecimal():
        return evolve(outcome, error="the device says nothing of its battery that can be understood")
    return Completed(value=_battery_value(found), exit_code=0, metadata=outcome.metadata)


def _battery_value(found: dict[str, str]) -> dict[str, Any]:
    scale = _number(found.get("scale")) or 100
    power = ("AC", "USB", "Wireless", "Dock")
    value: dict[str, Any] = {
        "level": round(100 * int(found["level"]) / scale),
        "status": _BATTERY_STATUS.get(_number(found.get("status")) or 1, "unknown"),
        "plugged": [name.lower() for name in power if found.get(f"{name} powered") == "true"],
    }
    if (tenths := _number(found.get("temperature"))) is not None:
        value["temperature_c"] = tenths / 10
    if (millivolts := _number(found.get("voltage"))) is not None:
        value["voltage_mv"] = millivolts
    if found.get("technology"):
        value["technology"] = one_line(found["technology"])
    return value


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,9}", text) else None


def _checked(outcome: Outcome) -> Outcome:
    """An outcome that has failed if its text says so: commands of Android often end with 0 all the same."""
    if not isinstance(outcome, Completed) or outcome.error is not None:
        return outcome
    for text in (outcome.stderr or "", outcome.stdout or ""):
        if (match := _FAILED.search(text)) is not None:
            return evolve(outcome, error=one_line(text[match.start() :]))
    return outcome


_PERFORMERS: Final[dict[str, Callable[[AdbSession, Attempt, Any], Awaitable[Outcome]]]] = {
    "push": _push,
    "pull": _pull,
    "install": apk.install,
    "uninstall": _uninstall,
    "start_activity": _start_activity,
    "tap": _tap,
    "swipe": _swipe,
    "text": _text,
    "key": _key,
    "screenshot": screen.screenshot,
    "logcat": screen.logcat,
    "reboot": reboot.reboot,
    "forward": forwarding.forward,
    "battery": _battery,
}
