"""Actions do on the phone what they say, and say why when they cannot."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from galaxy_core import Action, Command
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused, Unknown
from galaxy_core_adb.files import Files
from galaxy_core_adb.server import server_at
from galaxy_core_adb.smart import Conversation

from .adb_bench import Bench, kept, port_of

pytestmark = pytest.mark.anyio


def apk(package: str = "org.example.app", *, manifest: str = "AndroidManifest.xml") -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(manifest, f'<manifest package="{package}"/>')
        archive.writestr("classes.dex", "x" * 100_000)
    return raw.getvalue()


async def act(bench: Bench, action: str, **arguments: Any) -> Outcome:
    return await bench.execute(Action(action, arguments))


def done(outcome: Outcome) -> Completed:
    assert isinstance(outcome, Completed), outcome
    assert outcome.error is None, outcome
    assert not outcome.exit_code, outcome
    return outcome


async def test_input_reaches_the_screen(bench: Bench) -> None:
    done(await act(bench, "tap", x=1, y=2))
    done(await act(bench, "swipe", x1=1, y1=2, x2=3, y2=4, duration_ms=5))
    done(await act(bench, "key", key="KEYCODE_HOME"))
    done(await act(bench, "key", key=66))
    assert bench.phone.inputs == [
        ("tap", "1", "2"),
        ("swipe", "1", "2", "3", "4", "5"),
        ("keyevent", "KEYCODE_HOME"),
        ("keyevent", "66"),
    ]


@pytest.mark.parametrize(
    "text", ["hello", "two words", 'it\'s "$HOME" `x`; rm -rf * & | < > \\ #', "100%", "a%sb", "%s%s", "-n", "a=b"]
)
async def test_text_is_typed_as_it_is(bench: Bench, text: str) -> None:
    """Android types a blank for "%s"."""
    done(await act(bench, "text", text=text))
    typed = [words[1:] for words in bench.phone.inputs if words[0] == "text"]
    assert "".join(" ".join(words).replace("%s", " ") for words in typed) == text


async def test_an_app_is_installed_and_removed(bench: Bench) -> None:
    installed = done(await act(bench, "install", apk=bench.source("a.apk", apk())))
    assert "Success" in str(installed.stdout)
    assert "org.example.app" in bench.phone.packages
    assert await bench.phone.remains() == []
    done(await act(bench, "uninstall", package="org.example.app"))
    assert "org.example.app" not in bench.phone.packages


async def test_what_pm_says_is_what_counts(bench: Bench) -> None:
    failed = await act(bench, "uninstall", package="org.example.missing")
    assert isinstance(failed, Completed)
    assert "Failure" in str(failed.error)
    done(await act(bench, "install", apk=bench.source("a.apk", apk())))
    again = await act(bench, "install", apk="a.apk", replace=False)
    assert isinstance(again, Completed)
    assert "ALREADY_EXISTS" in str(again.error)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"this is no app", "no Android app: File is not a zip file"),
        (b"", "no Android app"),
        (apk(manifest="other.xml"), "without AndroidManifest.xml"),
        (apk()[:-50], "no Android app"),
    ],
)
async def test_an_apk_that_is_none_is_refused_and_not_even_sent(bench: Bench, content: bytes, why: str) -> None:
    outcome = await act(bench, "install", apk=bench.source("a.apk", content))
    assert isinstance(outcome, Refused), outcome
    assert why in outcome.reason
    assert await bench.phone.remains() == []


async def test_an_apk_that_is_not_there_is_refused(bench: Bench) -> None:
    outcome = await act(bench, "install", apk="missing.apk")
    assert isinstance(outcome, Refused)
    assert "does not exist" in outcome.reason


async def test_an_apk_for_which_the_phone_has_no_room_is_said(bench: Bench) -> None:
    source = bench.source("a.apk", apk())
    async with bench.open() as session:
        bench.phone.faults.free_bytes = 1000
        outcome = await session.execute(bench.attempt(Action("install", {"apk": source})))
    assert isinstance(outcome, Completed)
    assert "No space left" in str(outcome.error)
    assert await bench.phone.remains() == []


async def test_an_activity_is_started(bench: Bench) -> None:
    extras = {"text": "it's; so", "number": 3, "yes": True}
    done(await act(bench, "install", apk=bench.source("a.apk", apk())))
    done(
        await act(bench, "start_activity", component="org.example.app/.Main", data="https://x.y/?a=b&c", extras=extras)
    )
    assert bench.phone.activities == ["org.example.app/.Main"]


async def test_an_activity_that_cannot_be_started_is_said_though_android_ends_with_0(bench: Bench) -> None:
    outcome = await act(bench, "start_activity", component="org.example.missing/.Main")
    assert isinstance(outcome, Completed)
    assert "Error" in str(outcome.error)


async def test_a_screenshot_is_a_picture(bench: Bench) -> None:
    shot = done(await act(bench, "screenshot", name="home.png"))
    assert shot.files is not None
    picture = kept(shot, "home.png")
    assert shot.value == {"width": 1080, "height": 2400, "size_bytes": len(picture)}
    assert picture.startswith(b"\x89PNG")


async def test_half_a_picture_is_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from galaxy_core_adb import screen

    half = Command(["printf", "\\211PNG\\r\\n\\032\\n half"])
    monkeypatch.setattr(screen, "Command", lambda _words: half)
    shot = await act(bench, "screenshot")
    assert isinstance(shot, Completed)
    assert "no whole PNG" in str(shot.error)
    too_large = await act_with(bench, "screenshot", artifact_cap_bytes=5)
    assert "artifact_cap_bytes" in str(too_large.error)


async def act_with(bench: Bench, action: str, **settings: Any) -> Completed:
    outcome = await bench.execute(Action(action, {}), **settings)
    assert isinstance(outcome, Completed)
    return outcome


async def test_the_log_is_kept_as_a_file(bench: Bench) -> None:
    for number in range(20):
        bench.phone.log.add("Test", f"line {number} é\x1b[31m")
    log = done(await act(bench, "logcat", lines=5, name="log.txt"))
    assert log.files is not None
    text = kept(log, "log.txt").decode()
    assert "line 19 é" in text
    assert log.stdout == text
    assert log.value["size_bytes"] == len(text.encode())


async def test_a_long_log_is_cut_in_the_result_and_whole_in_the_file(bench: Bench) -> None:
    for number in range(50):
        bench.phone.log.add("Test", f"line {number}")
    log = await act_with(bench, "logcat", output_cap_bytes=100)
    assert log.truncated
    assert len(str(log.stdout)) == 100
    assert log.files is not None
    assert "line 49" in kept(log, "logcat.txt").decode()


async def test_the_battery_is_read(bench: Bench) -> None:
    value = done(await act(bench, "battery")).value
    assert (value["level"], value["status"], value["plugged"]) == (87, "charging", ["usb"])
    assert value["temperature_c"] == 25.1


async def test_a_forwarded_port_leads_to_the_phone_until_the_session_ends(bench: Bench) -> None:
    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"phone")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    far_port = port_of(listener)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        async with bench.open() as session:
            outcome = await session.execute(bench.attempt(Action("forward", {"remote": f"tcp:{far_port}"})))
            port = done(outcome).value
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await stream.receive() == b"phone"
            taken = await session.execute(
                bench.attempt(Action("forward", {"remote": "tcp:80", "local_port": bench.rig.port}))
            )
            assert isinstance(taken, Completed)
            assert "cannot be led" in str(taken.error)
        with pytest.raises(OSError, match="connection attempts failed"):
            await anyio.connect_tcp("127.0.0.1", port)
        tasks.cancel_scope.cancel()


async def test_a_reboot_waits_until_the_phone_has_booted_and_loses_no_session(bench: Bench) -> None:
    lost: list[str] = []
    async with bench.open(connect=True) as session, anyio.create_task_group() as tasks:

        async def listen() -> None:
            lost.append(await session.until_lost())

        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(30):
            rebooted = done(await session.execute(bench.attempt(Action("reboot", {}))))
        assert rebooted.value == "booted"
        assert bench.phone.properties["sys.boot_completed"] == "1"
        await anyio.wait_all_tasks_blocked()
        assert not lost
        await session.probe()
        tasks.cancel_scope.cancel()


async def test_what_comes_while_a_phone_restarts_waits_for_it(bench: Bench) -> None:
    async with bench.open(connect=True) as session, anyio.create_task_group() as tasks:
        outcomes: list[Outcome] = []

        async def keep(attempt: Attempt) -> None:
            outcomes.append(await session.execute(attempt))

        running = bench.attempt(Command(["sleep", "60"]))
        tasks.start_soon(keep, running)
        with anyio.fail_after(30):
            while running.progress != "acknowledged":
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(keep, bench.attempt(Action("reboot", {})))
            while not session.place.absences:
                await anyio.lowlevel.checkpoint()
            beside = await session.execute(bench.attempt(Command(["echo", "beside"])))
    assert isinstance(outcomes[0], Unknown)  # it ran when the phone went
    assert done(outcomes[1]).value == "booted"
    assert done(beside).stdout == "beside\n"


async def test_a_reboot_that_is_not_waited_for_loses_the_session(bench: Bench) -> None:
    bench.phone.boot_s = 60
    async with bench.open() as session, anyio.create_task_group() as tasks:
        lost = anyio.Event()

        async def listen() -> None:
            await session.until_lost()
            lost.set()

        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        gone = done(await session.execute(bench.attempt(Action("reboot", {"wait": False}))))
        assert gone.value == "gone"
        with anyio.fail_after(10):
            await lost.wait()


async def test_a_reboot_that_takes_too_long_is_unknown(bench: Bench) -> None:
    bench.phone.boot_s = 60
    async with bench.open() as session:
        attempt = bench.attempt(Action("reboot", {}))
        with anyio.move_on_after(1):
            await session.execute(attempt)
    assert isinstance(attempt.partial, Unknown)


@pytest.mark.parametrize(
    ("action", "arguments", "why"),
    [
        ("fly", {}, "no action 'fly'"),
        ("tap", {"x": 1}, "y"),
        ("text", {"text": "emoji 😀"}, "text"),
        ("key", {"key": "HOME; reboot"}, "key"),
        ("uninstall", {"package": "a; b"}, "package"),
    ],
)
async def test_what_an_action_does_not_take_is_refused(
    bench: Bench, action: str, arguments: dict[str, Any], why: str
) -> None:
    outcome = await act(bench, action, **arguments)
    assert isinstance(outcome, Refused), outcome
    assert why in outcome.reason


@pytest.mark.parametrize("action", ["screenshot", "logcat", "battery"])
async def test_an_action_whose_link_is_lost_is_unknown(bench: Bench, action: str) -> None:
    async with bench.open() as session:
        bench.phone.misbehave("disconnect", "start", on="GALAXY_MARK=")
        outcome = await session.execute(bench.attempt(Action(action, {})))
    assert isinstance(outcome, Unknown), outcome


async def test_an_app_that_is_not_installed_after_all_does_not_stay_on_the_device(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Files._move

    async def moved(self: Files, *what: Any) -> None:
        await move(self, *what)
        await anyio.sleep_forever()  # the answer does not come

    monkeypatch.setattr(Files, "_move", moved)
    action = Action("install", {"apk": bench.source("a.apk", apk())})

    def there() -> list[Path]:
        return [path for path in bench.far("x").parent.iterdir() if path.name.startswith(".galaxy-")]

    async with bench.open() as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.execute, bench.attempt(action))
            with anyio.fail_after(20):
                while not any(path.suffix == ".apk" for path in there()):  # noqa: ASYNC110  on the device
                    await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
        assert there() == []


async def test_a_port_that_is_forwarded_while_its_task_is_stopped_is_taken_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = Conversation.agreed
    with anyio.CancelScope() as scope:

        async def and_stopped(self: Conversation) -> None:
            await agreed(self)
            if attempt.progress != "new":
                scope.cancel()
                await anyio.lowlevel.checkpoint()

        async with bench.open() as session:
            monkeypatch.setattr(Conversation, "agreed", and_stopped)
            attempt = bench.attempt(Action("forward", {"remote": "tcp:7"}))
            await session.execute(attempt)
            await anyio.lowlevel.checkpoint()
    monkeypatch.undo()
    assert scope.cancelled_caught
    assert await server_at(bench.rig.port).say("host:list-forward") == ""
