"""Android's commands, as far as a simulated phone has them. Texts as Android 14 prints them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from galaxy_core_adb.simulate.builtins import Program, Terminal
from galaxy_core_adb.simulate.screen import picture

if TYPE_CHECKING:
    from galaxy_core_adb.simulate.phone import Phone

Command = Callable[["Phone", Sequence[str], Terminal], Awaitable[int]]
COMMANDS: Final[dict[str, Command]] = {}


def command(name: str) -> Callable[[Command], Command]:
    """Make a coroutine a command of the phone."""

    def add(function: Command) -> Command:
        COMMANDS[name] = function
        return function

    return add


def programs_of(phone: Phone) -> dict[str, Program]:
    """All commands, of this phone."""
    return {name: partial(function, phone) for name, function in COMMANDS.items()}


async def say(terminal: Terminal, text: str) -> int:
    """One text on standard output, and success."""
    await terminal.out(text.encode(errors="surrogateescape") + b"\n")
    return 0


async def fail(terminal: Terminal, text: str, code: int = 1) -> int:
    """One text on standard error, and failure."""
    await terminal.err(text.encode(errors="surrogateescape") + b"\n")
    return code


@command("getprop")
async def getprop(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    if len(words) > 1:
        return await say(terminal, phone.properties.get(words[1], words[2] if len(words) > 2 else ""))
    return await say(terminal, "\n".join(f"[{name}]: [{phone.properties[name]}]" for name in sorted(phone.properties)))


@command("setprop")
async def setprop(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    if len(words) != 3:
        return await fail(terminal, "usage: setprop NAME VALUE")
    if words[1].startswith("ro."):
        return await fail(
            terminal, f"Failed to set property '{words[1]}' to '{words[2]}'.\nSee dmesg for error reason."
        )
    phone.properties[words[1]] = words[2]
    return 0


@command("wm")
async def wm(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    match words[1:]:
        case ["size"]:
            return await say(terminal, f"Physical size: {phone.width}x{phone.height}")
        case ["density"]:
            return await say(terminal, "Physical density: 420")
    return await fail(terminal, f"Unknown command: {' '.join(words[1:])}", 255)


@command("am")
async def am(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    match words[1:]:
        case ["start" | "start-activity", *options]:
            return await _start_activity(phone, options, terminal)
        case ["force-stop", package]:
            phone.activities[:] = [name for name in phone.activities if not name.startswith(package + "/")]
            return 0
        case ["broadcast", *options]:
            phone.inputs.append(("broadcast", *options))
            return await say(terminal, "Broadcasting: Intent { }\nBroadcast completed: result=0")
    return await fail(terminal, f"Unknown command: {' '.join(words[1:2])}", 255)


async def _start_activity(phone: Phone, options: Sequence[str], terminal: Terminal) -> int:
    rest, component, action = list(options), "", ""
    while rest:
        option = rest.pop(0)
        if option == "-n" and rest:
            component = rest.pop(0)
        elif option == "-a" and rest:
            action = rest.pop(0)
        elif option in ("--es", "--ei", "--ez", "--el", "--ef", "--eu"):
            del rest[:2]
        elif option in ("-d", "-t", "-c", "-f", "-p", "--user"):
            del rest[:1]
    intent = " ".join(
        part for part in (f"act={action}" if action else "", f"cmp={component}" if component else "") if part
    )
    await say(terminal, f"Starting: Intent {{ {intent} }}")
    package = component.partition("/")[0]
    if component and package not in phone.packages:
        await say(terminal, "Error type 3")
        # Android says this on standard output and ends with 0 or 1, by its version; 1 since Android 8.
        return 1 - await say(terminal, f"Error: Activity class {{{component}}} does not exist.")
    phone.activities.append(component or action)
    if "-W" in options:
        return await say(
            terminal,
            f"Status: ok\nLaunchState: COLD\nActivity: {component}\nTotalTime: 123\nWaitTime: 125\nComplete",
        )
    return 0


_INPUTS: Final = {"tap": 2, "swipe": 4, "text": 1, "keyevent": 1, "roll": 2, "press": 0, "draganddrop": 4}
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@command("input")
async def input_(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    given = list(words[1:])
    if given and given[0] in ("touchscreen", "keyboard", "mouse"):
        del given[0]
    if not given or given[0] not in _INPUTS or len(given) - 1 < _INPUTS[given[0]]:
        return await fail(terminal, f"Error: Unknown command: {' '.join(given)}", 255)
    if given[0] in ("tap", "swipe", "roll", "draganddrop"):
        for word in given[1:]:
            if not _NUMBER.fullmatch(word):
                return await fail(terminal, f'java.lang.NumberFormatException: For input string: "{word}"', 255)
    phone.inputs.append(tuple(given))
    return 0


@command("screencap")
async def screencap(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    files = [word for word in words[1:] if not word.startswith("-")]
    png = picture(phone.width, phone.height, (phone.name, phone.clock(), f"{len(phone.inputs)} INPUTS"))
    if not files:
        await terminal.out(png)
        return 0
    try:
        phone.disk.seen_by_commands(files[0], terminal.folder).write_bytes(png)
    except OSError as error:
        return await fail(terminal, f"Error opening file: {files[0]} ({error.strerror})")
    return 0


@command("logcat")
async def logcat(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    options = list(words[1:])
    if "-c" in options:
        phone.log.clear()
        return 0
    count = None
    for flag in ("-t", "-T"):
        if flag in options and options[options.index(flag) + 1 :]:
            value = options[options.index(flag) + 1]
            count = int(value) if value.isdecimal() else None
    lines = phone.log.lines[-count:] if count is not None else list(phone.log.lines)
    if not count:
        lines.insert(0, "--------- beginning of main")
    await say(terminal, "\n".join(lines))
    if "-d" in options or "-t" in options:
        return 0
    seen = phone.log.count
    while True:
        await phone.log.more_than(seen)
        new = phone.log.since(seen)
        seen += len(new)
        await say(terminal, "\n".join(new))


@command("log")
async def log(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    rest, tag, priority = list(words[1:]), "log", "I"
    while len(rest) > 1 and rest[0] in ("-t", "-p"):
        option, value = rest.pop(0), rest.pop(0)
        tag, priority = (value, priority) if option == "-t" else (tag, value.upper())
    phone.log.add(tag, " ".join(rest), priority)
    return 0


@command("reboot")
async def reboot(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    phone.reboot()
    await anyio.sleep_forever()
    return 0


@command("svc")
async def svc(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    match words[1:]:
        case ["power", "stayon", _] | ["wifi" | "data" | "bluetooth" | "nfc", "enable" | "disable"]:
            phone.inputs.append(tuple(words))
            return 0
        case ["power", "reboot", *_]:
            return await reboot(phone, words, terminal)
    return await say(terminal, "Available commands: help, power, data, wifi, usb, nfc, bluetooth")


@command("dumpsys")
async def dumpsys(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    match words[1:]:
        case ["battery"]:
            lines = "\n".join(f"  {name}: {value}" for name, value in phone.battery.items())
            return await say(terminal, f"Current Battery Service state:\n{lines}")
        case ["battery", "set", name, value]:
            phone.battery[name] = value
            return 0
        case ["battery", "reset"]:
            phone.charge()
            return 0
        case ["display"]:
            size = f"{phone.width}x{phone.height}"
            return await say(
                terminal,
                "DISPLAY MANAGER (dumpsys display)\n  mViewports=[DisplayViewport{type=INTERNAL, valid=true, "
                f"isActive=true, displayId=0, orientation=0, deviceWidth={phone.width}, deviceHeight={phone.height}}}]\n"
                f'  mBaseDisplayInfo=DisplayInfo{{"Built-in Screen", real {size}}}',
            )
        case ["-l"]:
            return await say(terminal, "Currently running services:\n  battery\n  display")
        case [name, *_]:
            return await fail(terminal, f"Can't find service: {name}", 0)
    return await say(terminal, "Currently running services:\n  battery\n  display")


@command("settings")
async def settings(phone: Phone, words: Sequence[str], terminal: Terminal) -> int:
    match words[1:]:
        case ["get", "system" | "secure" | "global" as space, name]:
            return await say(terminal, phone.settings.get((space, name), "null"))
        case ["put", "system" | "secure" | "global" as space, name, value]:
            phone.settings[space, name] = value
            return 0
        case ["delete", "system" | "secure" | "global" as space, name]:
            gone = phone.settings.pop((space, name), None)
            return await say(terminal, f"Deleted {int(gone is not None)} rows")
        case ["list", "system" | "secure" | "global" as space]:
            found = sorted((name, value) for (where, name), value in phone.settings.items() if where == space)
            return await say(terminal, "\n".join(f"{name}={value}" for name, value in found))
    return await fail(terminal, "Invalid command. Run 'settings help' for usage.", 255)
