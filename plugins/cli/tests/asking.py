"""The command, in this process and in one of its own, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

TIMEOUT_S = 60
#: For tests that need no other plugins than ours: a quarter of what a start costs is importing the others.
LEAN = "--no-plugins"


@frozen
class Done:
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Galaxy = Callable[..., Done]
Write = Callable[[str, str], Path]
Install = Callable[[str, str], Path]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "galaxy_core_cli.main", *arguments]


def in_a_process(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
    done = subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr)
