"""The twins of the adapter's scripts, through the bootstrap, as the host runs them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from galaxy_core_winrm.simulate.host import WindowsHost

pytestmark = pytest.mark.anyio
Dial = Callable[..., Any]
ROOT = r"%TEMP%\galaxy"


def text(name: str) -> str:
    return (files("galaxy_core_winrm") / "scripts" / f"{name}.ps1").read_text(encoding="utf-8")


async def script(client: Any, name: str, rest: bytes = b"", **parameters: Any) -> tuple[list[str], str, int]:
    """Lines of standard output, standard error, exit code."""
    payload = {"script": text(name), "parameters": {"root": ROOT, "any": False, **parameters}}
    encoded = base64.b64encode(text("bootstrap").encode("utf-16-le")).decode()
    data = base64.b64encode(json.dumps(payload).encode()) + b"\n" + rest
    stdout, stderr, code = await client.run(f"powershell.exe -EncodedCommand {encoded}", data=data)
    return stdout.decode().splitlines(), stderr.decode(), code


def pushed(data: bytes, **changed: Any) -> dict[str, Any]:
    whole = {"path": "a\\b.bin", "part": "x.part", "size": len(data), "digest": hashlib.sha256(data).hexdigest()}
    return {**whole, "rest": base64.b64encode(data) + b"\n", **changed}


async def test_what_is_pushed_is_pulled(host: WindowsHost, dial: Dial) -> None:
    client = dial(host)
    data = bytes(range(256)) * 1000
    lines, stderr, code = await script(client, "push", **pushed(data))
    told = json.loads(lines[0])
    assert (told["size_bytes"], stderr, code) == (len(data), "", 0)
    assert told["path"] == r"C:\Users\lab\AppData\Local\Temp\galaxy\a\b.bin"
    lines, _, code = await script(client, "pull", path="a/b.bin")
    assert (b"".join(map(base64.b64decode, lines[1:-1])), code) == (data, 0)
    assert json.loads(lines[-1]) == {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert await host.remains() == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"size": 1}, "not as it was sent"),
        ({"digest": "0" * 64}, "not as it was sent"),
        ({"path": "..\\b.bin"}, "is not below"),
        ({"path": "C:\\Windows\\b.bin"}, "is not below"),
        ({"path": "folder"}, "is a folder"),
        ({"path": "link\\b.bin"}, "is a link"),
        ({"rest": b"no base64!\n"}, ""),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_push_that_fails_leaves_no_part_and_the_old_file(
    host: WindowsHost, dial: Dial, changed: dict[str, Any], why: str
) -> None:
    client = dial(host)
    await script(client, "push", **pushed(b"old"))
    root = host.computer.path_of(r"C:\Users\lab\AppData\Local\Temp\galaxy")
    (root / "folder").mkdir()
    (root / "link").symlink_to(host.computer.folder / "c")
    lines, _, code = await script(client, "push", **pushed(b"new", **changed))
    assert code == 1
    assert why in json.loads(lines[0])["error"]
    assert (root / "a" / "b.bin").read_bytes() == b"old"
    assert await host.remains() == []


async def test_a_full_disk_is_told_and_leaves_nothing(host: WindowsHost, dial: Dial) -> None:
    host.full_disk(on=True)
    lines, _, code = await script(dial(host), "push", **pushed(b"new"))
    assert (json.loads(lines[0]), code) == ({"error": "There is not enough space on the disk."}, 1)
    assert await host.remains() == []
    await host.heal()
    assert (await script(dial(host), "push", **pushed(b"new")))[2] == 0


async def test_what_transfers_left_is_removed_and_nothing_else(host: WindowsHost, dial: Dial) -> None:
    root = host.computer.path_of(r"C:\Users\lab\AppData\Local\Temp\galaxy")
    root.mkdir()
    for name in ("x.part", "kept.txt"):
        (root / name).write_text("")
    assert await host.remains() == [r"file C:\Users\lab\AppData\Local\Temp\galaxy\x.part"]
    lines, _, _ = await script(dial(host), "remove", paths=["x.part", "kept.txt", "..\\y.part"])
    assert json.loads(lines[0]) == {"left": 0}
    assert [each.name for each in root.iterdir()] == ["kept.txt"]


async def test_a_program_gets_its_arguments_and_input_without_cmd(host: WindowsHost, dial: Dial) -> None:
    arguments = r'-c "import sys; print(sys.argv[1:], sys.stdin.buffer.read()); sys.exit(3)" "a \"b\"" %OS% "x&y"'
    rest = base64.b64encode(b"in\0") + b"\n"
    lines, stderr, code = await script(dial(host), "run", rest, mark="m", program="python", arguments=arguments)
    assert (lines, stderr, code) == ([r"""['a "b"', '%OS%', 'x&y'] b'in\x00'"""], "", 3)
    lines, stderr, code = await script(dial(host), "run", mark="m", program="nothing.exe", arguments="")
    assert (lines, code) == ([], 126)
    assert stderr.startswith("galaxy: not started m: ")


async def test_facts_are_those_of_the_simulated_computer(host: WindowsHost, dial: Dial) -> None:
    lines, _, _ = await script(dial(host), "facts")
    facts = json.loads(lines[0])
    assert (facts["hostname"], facts["user"]) == ("SIMULATED", "SIMULATED\\lab")
    assert facts["root"] == r"C:\Users\lab\AppData\Local\Temp\galaxy"
    assert all(isinstance(value, str) for value in facts.values())
