"""Runs in processes of their own, to be reached from others."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .asking import LEAN, TIMEOUT_S, command

#: A plan whose second task ends when somebody opens the pipe `go` for writing.
PLAN = """
    name: nightly
    tasks:
      first: {run: [echo, one]}
      wait: {shell: "read line < go; echo $line", needs: [first], timeout_s: 60}
      last: {run: [echo, end], needs: [wait]}
"""
ADD = {
    "description": "one more",
    "operations": [{"add_task": {"id": "more", "run": ["echo", "more"], "needs": ["first"]}}],
}
WRONG = {"operations": [{"remove_task": "first"}, {"remove_task": "nobody"}]}


class Run:
    """`galaxy run --json` (or other words) in a process of its own, whose task `wait` waits for `go`.

    It uses other plugins than our own only with `plugins`.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        json_: bool = True,
        words: tuple[str, ...] = ("run", "plan.yaml"),
        plugins: bool = False,
    ) -> None:
        self.folder, self.runtime = folder, os.environ["XDG_RUNTIME_DIR"]
        self.events: list[dict[str, Any]] = []
        if not (folder / "go").exists():
            os.mkfifo(folder / "go")
        line = command(*words, *arguments, *(["--json"] if json_ else []), *([] if plugins else [LEAN]))
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Read events until one has these fields."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if wanted.items() <= self.events[-1].items():
                return self.events[-1]
        raise AssertionError(f"no event with {wanted} came, but {self.events} and {self.process.communicate()[1]!r}")

    @property
    def name(self) -> str:
        return str(next(event["run"] for event in self.events if event["type"] == "run_started"))

    @property
    def socket(self) -> Path:
        return Path(next(event["control"] for event in self.events if event["type"] == "run_started"))

    def go(self, text: str = "went") -> None:
        """Let `wait` end."""
        (self.folder / "go").write_text(f"{text}\n", encoding="utf-8")

    def to_the_end(self) -> tuple[int, str]:
        """Read the rest; the exit code, and what was written to standard error."""
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        self.events += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, err

    def ended(self) -> list[str]:
        return [event["task"] for event in self.events if event["type"] == "task_completed"]


Start = Callable[..., Run]
Put = Callable[[object], str]


@contextmanager
def watching(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`galaxy watch` in a process of its own, and its first line."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command("watch", *arguments), stdout=pipe, stderr=pipe, text=True) as watch:
        try:
            assert watch.stdout is not None
            yield watch, watch.stdout.readline()
        finally:
            watch.kill()
