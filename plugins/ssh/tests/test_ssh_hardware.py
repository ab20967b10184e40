"""The same on a host of yours. It makes and removes files below ~/.galaxy-test there, and starts `sleep`s, which it ends.

Run them with ``pytest -m hardware`` and, in the environment, GALAXY_TEST_SSH_HOST, and as far as needed GALAXY_TEST_SSH_PORT,
GALAXY_TEST_SSH_USER, GALAXY_TEST_SSH_KEY (a path; else the agent is asked) and GALAXY_TEST_SSH_KNOWN_HOSTS.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from galaxy_core import Action, Command
from galaxy_core.extension.interfaces import Completed

from .ssh_lab import Lab, until

pytestmark = [pytest.mark.anyio, pytest.mark.hardware]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    host = os.environ.get("GALAXY_TEST_SSH_HOST")
    if not host:
        pytest.skip("GALAXY_TEST_SSH_HOST names no host")
    key = os.environ.get("GALAXY_TEST_SSH_KEY")
    told: dict[str, Any] = {
        "host": host,
        "port": int(os.environ.get("GALAXY_TEST_SSH_PORT", "22")),
        "username": os.environ.get("GALAXY_TEST_SSH_USER", getpass.getuser()),
        "root": ".galaxy-test",
        "files_root": str(tmp_path),
    }
    told |= {"keys": [key]} if key else {"agent": True}
    if known := os.environ.get("GALAXY_TEST_SSH_KNOWN_HOSTS"):
        told["known_hosts"] = known
    return told


async def test_a_real_host_runs_commands_and_takes_files(lab: Lab, settings: dict[str, Any], tmp_path: Path) -> None:
    words = ["it's", "", "a\nb", "$HOME", "%PATH%", ";", "🌍"]
    (tmp_path / "source").write_bytes(bytes(range(256)) * 1000)
    async with lab.opened(**settings) as session:
        done = await session.execute(lab.attempt(Command(["printf", "[%s]", *words], env={"X": "1"})))
        assert isinstance(done, Completed), done
        assert done.stdout == "".join(f"[{word}]" for word in words)
        for request in (
            Action("push", {"source": "source", "target": "there"}),
            Action("pull", {"path": "there", "name": "back"}),
        ):
            moved = await session.execute(lab.attempt(request))
            assert isinstance(moved, Completed), moved
            assert moved.value["size_bytes"] == 256_000
        await session.execute(lab.attempt(Command(["rm", "there"])))


async def test_a_real_host_ends_what_is_cancelled(lab: Lab, settings: dict[str, Any]) -> None:
    async with lab.opened(**settings) as session:
        attempt = lab.attempt(Command(None, "echo up; sleep 61 & sleep 61"))
        async with anyio.create_task_group() as group:
            group.start_soon(session.execute, attempt)
            await until(lambda: "up" in lab.said())
            group.cancel_scope.cancel()
        assert isinstance(attempt.partial, Completed), attempt.partial
        look = await session.execute(lab.attempt(Command(None, f"grep -ls GALAXY_MARK={attempt.mark} /proc/*/environ")))
        assert isinstance(look, Completed)
        assert look.stdout == ""
