"""A command gets what it is given, and gives back what it says."""

from __future__ import annotations

import hashlib

import anyio
import pytest
from pydantic import SecretStr

from galaxy_core import Command
from galaxy_core.extension.interfaces import Completed, Outcome, Refused

from .adb_bench import Bench, kept

pytestmark = pytest.mark.anyio

WORDS = {
    "blank": "a b",
    "quotes": 'it\'s "so"',
    "variable of Windows": "%PATH%",
    "end of a command": "a; reboot",
    "substitution": "$(reboot) `reboot` $HOME",
    "newline": "a\nb\n",
    "emoji": "é😀",
    "empty": "",
    "dash": "-n",
    "backslash": "a\\nb",
    "star": "*",
    "60 kB": "x" * 60_000,
    "60 kB that are quoted": "'" * 60_000,
}


def sh(text: str, **more: object) -> Command:
    return Command(None, text, **more)  # type: ignore[arg-type]


def completed(outcome: Outcome) -> Completed:
    assert isinstance(outcome, Completed), outcome
    return outcome


async def test_exit_code_and_streams_come_back_apart(bench: Bench) -> None:
    done = completed(await bench.execute(sh("echo out; echo err >&2; exit 7")))
    assert (done.exit_code, done.stdout, done.stderr, done.error) == (7, "out\n", "err\n", None)
    assert done.metadata == {"stdout_bytes": 4, "stderr_bytes": 4}


@pytest.mark.parametrize("code", [0, 1, 126, 255])
async def test_an_exit_code_comes_back(bench: Bench, code: int) -> None:
    assert completed(await bench.execute(sh(f"exit {code}"))).exit_code == code


async def test_a_command_that_a_signal_ended_says_so(bench: Bench) -> None:
    done = completed(await bench.execute(sh("sh -c 'kill -SEGV $$'")))
    assert done.exit_code == 139
    assert "SIGSEGV" in str(done.error)


@pytest.mark.parametrize("word", WORDS)
async def test_arguments_arrive_as_they_are(bench: Bench, word: str) -> None:
    done = completed(await bench.execute(Command(["printf", "%s|", "first", WORDS[word], "last"])))
    assert done.stdout == f"first|{WORDS[word]}|last|"
    assert await bench.phone.remains() == []


async def test_standard_input_arrives_byte_for_byte_and_ends(bench: Bench) -> None:
    text = "é\0\r\n" + "0123456789" * 30_000
    done = completed(await bench.execute(sh("sha256sum", stdin=text)))
    assert str(done.stdout).split()[0] == hashlib.sha256(text.encode()).hexdigest()


async def test_a_command_without_input_finds_its_end(bench: Bench) -> None:
    assert completed(await bench.execute(Command(["cat"]))).exit_code == 0


async def test_a_command_that_does_not_read_its_input_is_not_at_fault(bench: Bench) -> None:
    assert completed(await bench.execute(sh("exit 3", stdin="x" * 1_000_000))).exit_code == 3


async def test_environment_and_folder_are_those_asked_for(bench: Bench) -> None:
    bench.far("below").mkdir(parents=True)
    command = sh('echo "$A|$B|$TOKEN|$GALAXY_MARK"; pwd', env={"A": "it's", "B": "2"}, cwd="below")
    env = {"TOKEN": SecretStr("line 1\nline '2'\n"), "B": SecretStr("of the device")}
    async with bench.open(env=env) as session:
        attempt = bench.attempt(command)
        done = completed(await session.execute(attempt))
    assert done.stdout == f"it's|2|line 1\nline '2'\n|{attempt.mark}\n{bench.far('below')}\n"


async def test_variables_of_the_device_do_not_show_in_its_list_of_processes(bench: Bench) -> None:
    """Nor do they take anything from the standard input."""
    command = sh("cat; tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$PPID/cmdline", stdin="input\n")
    done = completed(await bench.execute(command, env={"TOKEN": SecretStr("s3cret")}))
    assert str(done.stdout).startswith("input\n")
    assert "s3cret" not in str(done.stdout)


async def test_output_is_heard_while_it_is_made(bench: Bench) -> None:
    heard = anyio.Event()
    bench.on_output = heard.set
    async with bench.open() as session, anyio.create_task_group() as tasks:
        tasks.start_soon(session.execute, bench.attempt(sh("echo first; until [ -e go ]; do sleep 0.01; done")))
        await heard.wait()
        assert bench.heard == [("stdout", "first\n")]
        bench.far("go").touch()


async def test_output_that_is_no_text_is_replaced_and_not_lost(bench: Bench) -> None:
    done = completed(await bench.execute(sh("printf 'a\\377\\303\\251'")))
    assert done.stdout == "a�é"


async def test_output_over_the_cap_is_cut_and_goes_to_a_file(bench: Bench) -> None:
    script = sh("head -c 300000 /dev/zero | tr '\\0' x")
    done = completed(await bench.execute(script, output_cap_bytes=1000, artifact_cap_bytes=200_000))
    assert done.truncated
    assert done.stdout == "x" * 1000
    assert done.metadata is not None
    assert (done.metadata["stdout_bytes"], done.metadata["stdout_file_bytes"]) == (300_000, 200_000)
    assert done.files is not None
    assert kept(done, "stdout.txt") == b"x" * 200_000


async def test_commands_run_beside_each_other_and_nothing_of_one_shows_in_another(bench: Bench) -> None:
    said: dict[int, str | None] = {}

    async def one(number: int) -> None:
        script = f"touch here-{number}; until [ -e here-{(number + 1) % 8} ]; do sleep 0.01; done; echo {number}"
        said[number] = completed(await session.execute(bench.attempt(sh(script)))).stdout

    async with bench.open() as session:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(one, number)
    assert said == {number: f"{number}\n" for number in range(8)}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Command(["echo", "a\0b"]), "NUL"),
        (sh("echo a\0b"), "NUL"),
        (Command(["true"], env={"A": "\0"}), "NUL"),
        (Command(["true"], env={"A B": "c"}), "'A B'"),
        (Command(["echo", "\ud800"]), "surrogates"),
        (Command(["true"], cwd="nowhere"), "nowhere' is not there"),
        (Command(["true"], outputs=["../escaped"]), "'..'"),
        (Command(["true"], files={"../escaped": "a"}), "'..'"),
        (Command(["true"], files={"a": "missing"}), "does not exist"),
        (None, "commands and actions"),
    ],
)
async def test_what_cannot_be_run_is_refused_with_the_reason(bench: Bench, command: Command | None, why: str) -> None:
    outcome = await bench.execute(command)
    assert isinstance(outcome, Refused), outcome
    assert why in outcome.reason


async def test_a_command_that_says_what_a_missing_folder_says_has_run_all_the_same(bench: Bench) -> None:
    done = completed(await bench.execute(sh("echo did something; echo 'galaxy: no such folder: x' >&2; exit 126")))
    assert done.exit_code == 126


async def test_files_are_given_and_outputs_collected(bench: Bench) -> None:
    bench.far("work").mkdir(parents=True)
    command = sh(
        "cat in/a.txt >b.txt; echo more >>b.txt",
        cwd="work",
        files={"in/a.txt": bench.source("a.txt", b"given\n")},
        outputs=["b.txt"],
    )
    done = completed(await bench.execute(command))
    assert done.error is None
    assert done.files is not None
    assert kept(done, "b.txt").decode() == "given\nmore\n"
    hashed = hashlib.sha256(b"given\nmore\n").hexdigest()
    assert done.metadata is not None
    assert done.metadata["collected"] == {"b.txt": {"size_bytes": 11, "sha256": hashed}}
    assert await bench.phone.remains() == []


async def test_an_output_that_is_not_there_makes_a_command_fail_that_ended_well(bench: Bench) -> None:
    done = completed(await bench.execute(sh("exit 0", outputs=["missing"])))
    assert "'missing': it does not exist" in str(done.error)
    assert done.exit_code == 0
