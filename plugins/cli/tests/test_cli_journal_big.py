"""A command that prints very much, in a run that is recorded: it costs a file, and neither memory nor a large journal."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from galaxy_core_cli.exits import Exit
from galaxy_core_local.session import LocalSession

from .asking import LEAN, Galaxy, Write

BYTES = 200_000_000
SHA256 = "ed670baeb99cf5b75da879f64f6aa516d8b4928b614d15b97ee438e9d93b726d"
PLAN = f"""
    tasks:
      flood: {{shell: "yes 0123456789abcde | head -c {BYTES}"}}
"""


@pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("yes") is None, reason="there is nothing that prints so much"
)
def test_two_hundred_megabytes_are_kept_whole_in_a_file_and_nowhere_else(
    galaxy: Galaxy, write: Write, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = LocalSession.execute

    async def measured(self: LocalSession, attempt: Any) -> Any:
        tracemalloc.start()  # reading a plan costs more than this
        return await execute(self, attempt)

    monkeypatch.setattr(LocalSession, "execute", measured)
    write("devices.yaml", f"devices: {{here: {{transport: local, settings: {{artifact_cap_bytes: {BYTES}}}}}}}")
    write("plan.yaml", PLAN)
    try:
        done = galaxy("run", "plan.yaml", "--devices", "devices.yaml", "--json", LEAN)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.code == Exit.OK, done.err
    assert 1 << 20 < peak < 16 << 20
    [task] = json.loads(galaxy("show", "last", "--json").out)["tasks"]
    file, told = Path(task["result"]["files"]["stdout.txt"]), task["result"]["metadata"]
    assert file.stat().st_size == told["stdout_bytes"] == told["stdout_file_bytes"] == BYTES
    with file.open("rb") as content:
        assert hashlib.file_digest(content, "sha256").hexdigest() == SHA256
    others = sum(path.stat().st_size for path in journal.rglob("*") if path.is_file() and path != file)
    assert others < 4 << 20
    file.unlink()  # pytest would keep it
