"""The texts that leave and read markers, in this machine's own shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import pytest

from galaxy_core import Attempt, Command, Completed, Refused, TaskStar, Unknown
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.adapter.posix import kill_script, quote, wrap
from galaxy_core.extension.interfaces import Outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")

#: Of this process alone: `kill_script` finds what another one runs at the same time, too.
RUN = token_hex(8)
MARK = f"{RUN}-00000001"
OTHER = f"{RUN}-00000002"
SHELLS = [name for name in ("sh", "dash", "bash", "busybox", "mksh") if shutil.which(name)]
#: Goes on when it is asked to end, and says so.
HEEDFUL = "trap '' HUP INT; trap 'sleep 0.1; echo heard; exit 0' TERM; echo begun; while :; do sleep 0.02; done"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "a folder's" / "marks")


def shell(text: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, timeout=30, check=False, **given)


def text_of(script: str) -> Command:
    return Command(shell=script)


@pytest.fixture(params=SHELLS)
def watching(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The shell that leaves markers."""
    name = request.param
    assert isinstance(name, str)
    path = shutil.which(name)
    assert path is not None
    if name != "busybox":
        return path
    (tmp_path / "ash").symlink_to(path)
    return str(tmp_path / "ash")


def marked(
    folder: str, command: Command, mark: str = MARK, stdin_bytes: int | None = None, watching: str = "/bin/sh"
) -> str:
    return wrap(command, mark, leading=marks.leading(marks.marker(folder, mark), stdin_bytes, watching))


def settled(folder: str, mark: str = MARK) -> Outcome | None:
    return marks.settled(shell(marks.settle_script(folder, mark)).stdout)


def expect(folder: str) -> None:
    shell(marks.expect_script(folder, MARK.rpartition("-")[0]))


def recovered(folder: str) -> tuple[str | None, Completed]:
    """What is kept, and the end with its output."""
    said = shell(marks.settle_script(folder, MARK)).stdout
    kept, ended = marks.kept(said), marks.settled(said)
    output = shell(marks.output_script(folder, MARK))
    stdout, stderr = (marks.output_in(f"a greeting\n{text}".encode()) for text in (output.stdout, output.stderr))
    assert ended is not None
    whole = kept == "whole"
    found = marks.recovered(ended, stdout, stderr, whole=whole, cap_bytes=100_000, secrets=("hush-hush",))
    assert isinstance(found, Completed)
    return kept, found


def begun(text: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_command_passes_everything_on_and_leaves_its_exit_code(folder: str) -> None:
    said = shell(marked(folder, text_of("cat; echo err >&2; exit 9"), stdin_bytes=5), "in\no\n")
    assert (said.stdout, said.stderr, said.returncode) == ("in\no\n", "err\n", 9)
    assert settled(folder) == Completed(exit_code=9, metadata={"settled": True})


def test_words_arrive_as_they_are_and_are_no_words_of_the_shell(folder: str) -> None:
    words = ["printf", "[%s]", "a b", "'", '"', "$HOME", "", "\n", "é", "*"]
    assert shell(marked(folder, Command(words))).stdout == "".join(f"[{word}]" for word in words[2:])
    said = shell(marked(folder, Command(["exit", "3"]), OTHER))
    assert said.returncode == 127


def test_of_a_run_that_is_expected_a_missing_marker_says_that_nothing_has_started(folder: str) -> None:
    assert isinstance(settled(folder), Unknown)
    said = shell(marks.expect_script(folder, MARK.rpartition("-")[0]))
    assert (said.stdout, said.stderr, said.returncode) == ("", "", 0)
    assert isinstance(settled(folder), Refused)
    assert shell(marked(folder, text_of("echo late"))).returncode == 126


def test_under_one_mark_nothing_starts_twice(folder: str, tmp_path: Path) -> None:
    command = text_of(f"echo x >>{tmp_path}/starts")
    for expected in (0, 126):
        said = shell(marked(folder, command))
        assert said.returncode == expected
    assert marks.why_unmarked(said.returncode, said.stderr) is not None
    assert (tmp_path / "starts").read_text() == "x\n"
    assert settled(folder) == Completed(exit_code=0, metadata={"settled": True})


def test_of_many_starts_at_once_one_succeeds(folder: str, tmp_path: Path) -> None:
    text = marked(folder, text_of(f"echo x >>{tmp_path}/starts"))
    for process in [subprocess.Popen(["/bin/sh", "-c", text], stderr=subprocess.DEVNULL) for _ in range(12)]:
        process.wait(30)
    assert (tmp_path / "starts").read_text() == "x\n"


def test_a_command_without_its_whole_input_is_not_started(folder: str, tmp_path: Path) -> None:
    said = shell(marked(folder, text_of(f"cat >{tmp_path}/made"), stdin_bytes=10), "cut")
    assert marks.why_unmarked(said.returncode, said.stderr) is not None
    assert not (tmp_path / "made").exists()
    found = settled(folder)
    assert isinstance(found, Refused)
    assert "input" in found.reason


def test_what_was_not_there_is_fenced_off(folder: str, tmp_path: Path) -> None:
    expect(folder)
    shell(marked(folder, Command(["true"]), OTHER))
    for _ in range(2):
        assert isinstance(settled(folder), Refused)
    said = shell(marked(folder, Command(["touch", f"{tmp_path}/made"])))
    assert said.returncode == 126
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("harm", ["nothing was ever there", "removed", "restarted", "boot is torn"])
def test_that_a_marker_is_not_there_proves_nothing_by_itself(folder: str, harm: str) -> None:
    run = Path(marks.marker(folder, MARK)).parent
    if harm != "nothing was ever there":
        expect(folder)
        shell(marked(folder, Command(["true"]), OTHER))
    if harm == "removed":
        shell(f"rm -rf '{run}'".replace("a folder's", "a folder'\\''s"))
    elif harm != "nothing was ever there":
        (run / "boot").write_text("" if harm == "boot is torn" else "another life\n")
    assert isinstance(settled(folder), Unknown)
    shell(marked(folder, Command(["true"]), OTHER))  # makes the folder, if it is not there
    assert isinstance(settled(folder), Unknown)


def test_a_lost_link_does_not_end_the_command(folder: str, tmp_path: Path) -> None:
    script = f"echo begun; read x; seq 50000; seq 50000 >&2; echo still >{tmp_path}/still; exit 4"
    process = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            marked(folder, text_of(script.replace("read x", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"))),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"begun\n"
    process.stdout.close()
    process.stderr.close()
    os.kill(process.pid, signal.SIGHUP)  # as adbd does
    (tmp_path / "go").touch()
    assert settled(folder) == Completed(exit_code=4, metadata={"settled": True})
    assert (tmp_path / "still").exists()
    process.wait(30)


def test_where_there_are_no_fifos_a_failure_may_be_that_of_the_link(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "_MARKED", marks._MARKED.replace("if mkfifo", "if false && mkfifo"))
    said = shell(marked(folder, text_of("echo out; echo err >&2; exit 1")))
    assert (said.stdout, said.stderr, said.returncode) == ("out\n", "err\n", 1)
    assert isinstance(settled(folder), Unknown)
    shell(marked(folder, Command(["true"]), OTHER))
    assert settled(folder, OTHER) == Completed(exit_code=0, metadata={"settled": True})


def test_settling_waits_while_it_runs_and_sees_when_it_was_killed(folder: str) -> None:
    process = begun(marked(folder, text_of("echo begun; sleep 0.4; exit 2")))
    assert settled(folder) == Completed(exit_code=2, metadata={"settled": True})
    process.communicate(timeout=30)
    process = begun(marked(folder, text_of("echo begun; exec sleep 1000"), OTHER))
    stopped = shell(marks.fence_script(folder, OTHER) + kill_script(OTHER))
    assert stopped.returncode == 0
    assert not isinstance(settled(folder, OTHER), Refused | None)
    process.communicate(timeout=30)


def test_a_marker_that_was_only_begun_is_unknown(folder: str) -> None:
    place = Path(f"{marks.marker(folder, MARK)}.pid")
    place.parent.mkdir(parents=True)
    place.touch()
    assert isinstance(settled(folder), Unknown)


def test_stopping_fences_off_what_has_not_started(folder: str) -> None:
    expect(folder)
    shell(marked(folder, Command(["true"]), OTHER))
    shell(marks.fence_script(folder, MARK) + kill_script(MARK))
    assert shell(marked(folder, Command(["true"]))).returncode == 126
    assert isinstance(settled(folder), Refused)


@pytest.mark.parametrize("harm", ["nothing was ever there", "restarted"])
def test_what_was_stopped_where_its_marker_may_have_been_removed_is_not_said_to_have_never_started(
    folder: str, harm: str
) -> None:
    if harm == "restarted":
        expect(folder)
        (Path(marks.marker(folder, MARK)).parent / "boot").write_text("another life\n")
    shell(marks.fence_script(folder, MARK) + kill_script(MARK))
    for _ in range(2):
        assert isinstance(settled(folder), Unknown)
    assert shell(marked(folder, Command(["true"]))).returncode == 126


def test_markers_are_removed_when_they_are_released_and_their_run_with_the_last(folder: str) -> None:
    released = marks.Released(folder)
    for mark in (MARK, OTHER):
        released.used(mark)
        shell(marked(folder, Command(["true"]), mark))
    released.add(MARK)
    shell(released.first() + "wait")
    assert not list(Path(folder).glob("*/00000001*"))
    assert shell(marked(folder, Command(["true"]), OTHER)).returncode == 126
    assert released.first() == ""
    shell(released.last())
    assert list(Path(folder).iterdir()), "one of its markers is still needed"
    released.add(OTHER)
    shell(released.last())
    assert not list(Path(folder).iterdir())
    assert released.last() == ""


@pytest.mark.parametrize("has_proc", [True, False])
@pytest.mark.parametrize("umask", ["0022", "0007"])
def test_markers_are_for_their_owner_alone_and_the_command_keeps_its_umask(
    folder: str, watching: str, umask: str, has_proc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_proc:
        assert "/proc/self/status" in marks._MARKED
        monkeypatch.setattr(marks, "_MARKED", marks._MARKED.replace("/proc/self/status", "/nowhere"))
    expect(folder)
    place = quote(marks.marker(folder, MARK))
    until_kept = f"until [ -s {place}.err -a -e {place}.out ]; do sleep 0.01; done"
    script = f"umask; cat; echo err >&2; {until_kept}; stat -c '%a %n' {quote(folder)} {quote(folder)}/*/*"
    said = shell(f"umask {umask}; " + marked(folder, text_of(script), MARK, 3, watching), "in\n")
    assert (said.returncode, said.stderr) == (0, "err\n")
    shown, given, whole, *there = said.stdout.splitlines()
    assert int(shown, 8) == int(umask, 8)
    assert given == "in"
    assert whole.startswith("700 ")
    modes = {Path(name).suffix: mode for mode, _, name in (line.partition(" ") for line in there)}
    assert modes.keys() > {".pid", ".o", ".r", ".out", ".err", ".said"}
    assert set(modes.values()) == {"600"}
    shell(marks.fence_script(folder, OTHER))
    assert {path.stat().st_mode & 0o777 for path in Path(folder).glob("*/*")} == {0o600}


def test_a_signal_to_all_is_answered_by_the_command_alone(folder: str, watching: str) -> None:
    expect(folder)
    process = begun(marked(folder, text_of(HEEDFUL), watching=watching))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"heard\n")
    kept, found = recovered(folder)
    assert (kept, found.exit_code, found.stdout) == ("whole", 0, "begun\nheard\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_a_signal_ends_is_told_so(folder: str, watching: str, number: signal.Signals) -> None:
    script = "echo begun; exec sleep 1000"
    process = begun(marked(folder, Command(["sh", "-c", script]), watching=watching))
    if number is signal.SIGKILL:
        shell(f"pkill -KILL -s {process.pid} -x sleep")
    else:
        os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert stderr == b"" or "mksh" in watching, "only mksh has its own words on that, wherever its errors go"
    assert settled(folder) == Completed(exit_code=128 + number, metadata={"settled": True})


def test_a_command_sees_its_signals_as_if_nobody_watched_over_it(folder: str, watching: str) -> None:
    command = Command(["/bin/cat", "/proc/self/status"])
    for before in ("", "trap '' INT; "):
        mark = OTHER if before else MARK
        texts = (wrap(command, mark), marked(folder, command, mark, watching=watching))
        alone, watched = (
            [line for line in shell(before + text).stdout.splitlines() if re.match("Sig[^Q]", line)] for text in texts
        )
        assert len(alone) > 3
        assert watched == alone


def test_the_variables_of_a_command_are_its_own(folder: str, watching: str) -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    env = {name: f"its {name}" for name in names}
    said = shell(marked(folder, Command(["env"], env=env), watching=watching)).stdout.splitlines()
    assert {f"{name}=its {name}" for name in names} <= set(said)
    assert not [line for line in said if line.startswith("galaxy_")]


def test_whenever_all_are_signalled_nothing_of_it_is_left(folder: str, watching: str) -> None:
    """Not even somebody who waits to open a FIFO, of which the other end never comes."""
    for number in range(30):
        mark = f"{RUN}-{number:08x}"
        text = marked(folder, Command(["true"]), mark, watching=watching)
        process = subprocess.Popen(
            ["/bin/sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        time.sleep(number / 5000)  # in the middle of whatever it is at
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)  # until nobody holds its output any more


def test_one_program_that_prints_much_goes_on_without_its_link(folder: str, watching: str) -> None:
    process = begun(marked(folder, Command(["sh", "-c", "echo begun; exec seq 100000"]), watching=watching))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    process.wait(30)
    assert settled(folder) == Completed(exit_code=0, metadata={"settled": True})


def test_a_marker_that_comes_while_its_run_is_tidied_stays(folder: str) -> None:
    expect(folder)
    shell(marked(folder, Command(["true"])))
    released = marks.Released(folder)
    released.used(MARK)
    shell(released.last().replace('[ -e "$1" ] ||', ""))  # as when it comes after the look
    assert isinstance(settled(folder), Completed)
    assert isinstance(settled(folder, OTHER), Unknown), "of what is not there nothing is concluded any more"


def test_what_was_printed_is_kept(folder: str) -> None:
    expect(folder)
    shell(marked(folder, text_of("printf 'out hush-hush\\n'; echo err >&2; exit 3")))
    kept, found = recovered(folder)
    assert kept == "whole"
    assert (found.exit_code, found.stdout, found.stderr, found.truncated) == (3, "out ***\n", "err\n", False)


def test_of_much_output_the_beginning_is_kept_and_all_is_passed_on(folder: str) -> None:
    expect(folder)
    said = shell(marked(folder, text_of("seq 100000; printf hush- >&2")))
    assert said.stdout.splitlines()[-1] == "100000"
    assert Path(marks.marker(folder, MARK) + ".out").stat().st_size == marks.KEPT_BYTES
    kept, found = recovered(folder)
    assert kept == "whole"
    assert found.truncated
    assert found.stdout is not None
    assert said.stdout.startswith(found.stdout)
    assert len(found.stdout) > marks.KEPT_BYTES - 100
    assert found.stderr == "hush-"


def test_output_that_goes_on_after_the_command_is_a_part(folder: str) -> None:
    expect(folder)
    process = begun(marked(folder, text_of("echo begun; sleep 1000 & printf hush-; exit 2")))
    try:
        kept, found = recovered(folder)
        assert kept == "part"
        assert (found.exit_code, found.truncated) == (2, True)
        assert found.stdout is not None
        assert found.stdout.startswith("begun\n")
        assert "hush" not in found.stdout, "it may be the half of a secret"
    finally:
        assert shell(kill_script(MARK)).returncode == 0
        process.communicate(timeout=30)


@pytest.mark.parametrize("boot", ["", "another life\n", None])
def test_output_from_another_life_of_the_machine_is_lost(folder: str, boot: str | None) -> None:
    expect(folder)
    shell(marked(folder, text_of("echo out")))
    place = Path(marks.marker(folder, MARK)).parent / "boot"
    place.unlink()
    if boot is not None:
        place.write_text(boot)
    kept, found = recovered(folder)
    assert (kept, found.exit_code) == (None, 0)


def test_output_that_is_longer_than_any_is_lost(folder: str) -> None:
    ended = Completed(exit_code=0, metadata={"settled": True})
    long = b"x" * (marks.KEPT_BYTES + 1)
    assert marks.recovered(ended, long, b"", whole=True, cap_bytes=100_000, secrets=()) is ended
    assert marks.recovered(ended, None, b"", whole=True, cap_bytes=100_000, secrets=()) is ended
    assert ended.stdout is None
    assert marks.output_in(b"no such file") is None


def test_old_runs_are_removed_whole(folder: str) -> None:
    shell(marked(folder, Command(["true"])))
    shell(marks.sweep_script(folder))
    run = Path(marks.marker(folder, MARK)).parent
    assert run.exists()
    long_ago = time.time() - (marks.KEPT_DAYS + 2) * 86400
    os.utime(run, (long_ago, long_ago))
    shell(marks.sweep_script(folder))
    assert not run.exists()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Unknown),
        ("galaxy-settled running\n", type(None)),
        ("galaxy-settled running ", type(None)),
        ("a greeting\ngalaxy-settled exit 0\n", Completed),
        ("galaxy-settled exit 0 ", Completed),
        ("galaxy-settled exit\n", Unknown),
        ("galaxy-settled exit -1\n", Unknown),
        ("galaxy-settled exit 0 galaxy-settled exit 1\n", Unknown),
        ("galaxy-settled refused asked\n", Refused),
        ("galaxy-settled unknown absent\n", Unknown),
        ("permission denied", Unknown),
    ],
)
def test_what_a_far_side_says_is_read_strictly(text: str, kind: type[object]) -> None:
    assert type(marks.settled(text)) is kind


def test_only_commands_leave_markers() -> None:
    make: Callable[..., Attempt] = lambda request, **more: Attempt(  # noqa: E731  short
        "run", TaskStar("task", request=request), "here", 1, 1, request, None, **more
    )
    assert marks.is_marked(make(Command(["true"]), leaves_marker=True))
    assert not marks.is_marked(make(Command(["true"])))
    assert not marks.is_marked(make(None, leaves_marker=True))
