"""Markers on Windows that are removed for their age: whenever that is cut off, nobody is told that what has started never did."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from galaxy_core_winrm.simulate.powershell import marker_twins
from galaxy_core_winrm.simulate.powershell.console import Console, Drive, ExitError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated host needs it")
RUN = "0123456789abcdef"
#: Of commands that have all started; the last was killed.
LEFT = ("00000001.start", "00000001.end", "00000002.start", "00000002.end", "00000003.start")


class CutError(BaseException):
    """Nothing comes after it."""


class Hearing(Console):
    """What a script says, as JSON."""

    def __init__(self) -> None:
        super().__init__(is_xml=False)
        self.said: dict[str, Any] = {}

    def out_bytes(self, data: bytes) -> None:
        self.said = json.loads(data)


class Far:
    """A simulated host, without processes of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.setenv("SIMULATED_HOST", str(folder))
        monkeypatch.setenv("LOCALAPPDATA", "C:\\Local")
        self.console, self.drive = Hearing(), Drive()
        self.run = folder / "c" / "Local" / "galaxy" / "marks" / RUN

    def marks(self, expect: str = "") -> None:
        marker_twins.marks(self, {"expect": expect, "released": [], "days": 7})

    def make(self) -> None:
        """What an old run has left, for which markers are expected."""
        shutil.rmtree(self.run, ignore_errors=True)
        self.marks(RUN)
        for name in LEFT:
            (self.run / name).write_bytes(b"started\r\n" if name.endswith(".start") else b"exit 0\r\n")
        os.utime(self.run, (0, 0))

    def sweep(self, removes: int) -> list[str]:
        """As far as it comes until it has removed so many files; their names."""
        gone: list[str] = []
        unlink = os.unlink

        def cut(path: Any, **more: Any) -> None:
            if len(gone) == removes:
                raise CutError
            unlink(path, **more)
            gone.append(os.path.basename(path))

        with self._patch.context() as patched:
            patched.setattr(os, "unlink", cut)
            with suppress(CutError):
                self.marks()
        return gone

    def settled(self, attempt: str) -> tuple[str, str]:
        with pytest.raises(ExitError):
            marker_twins.settle(self, {"run": RUN, "attempt": attempt, "wait": 0})
        return self.console.said["word"], self.console.said["about"]


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Far:
    return Far(tmp_path, monkeypatch)


def test_whenever_removing_an_old_run_is_cut_off_nothing_is_said_to_have_never_started(far: Far) -> None:
    for removes in range(1, len(LEFT) + 2):
        far.make()
        assert far.sweep(removes)[0] == "boot"
        for again in (False, removes <= len(LEFT)):
            if again:
                far.marks(RUN)  # leaves a folder that is on its way out as it is
            for attempt in ("00000001", "00000002", "00000003"):
                assert far.settled(attempt)[0] in {"exit", "unknown"}, removes


def test_the_script_for_windows_itself_removes_first_what_vouches_for_the_rest() -> None:
    """Its twin was tried above; it must say the same."""
    text = (files("galaxy_core_winrm") / "scripts" / "marks.ps1").read_text("utf-8")
    words = text.partition("[IO.Directory]::GetDirectories($marks)")[2].partition("foreach ($run in")[0]
    assert 0 < words.index("[IO.File]::Delete([IO.Path]::Combine($folder, 'boot'))") < words.index("$folder, $true")
    made = text.partition("if ($expect)")[2]
    assert made.index("if (-not [IO.Directory]::Exists($folder))") < made.index("CreateDirectory($folder)")
