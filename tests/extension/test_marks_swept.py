"""Markers that are removed for their age: whenever that is cut off, nobody is told that what has started never did."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from itertools import chain, combinations
from pathlib import Path

import pytest

from galaxy_core import Completed, Refused, Unknown
from galaxy_core.extension.adapter import marks
from galaxy_core.extension.interfaces import Outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")

SHELLS = [name for name in ("sh", "dash", "bash", "busybox", "mksh") if shutil.which(name)]
RUN = "0123456789abcdef"
#: What three attempts have left, all of which have started: one was killed, one wrote into its link, and one is whole.
LEFT = {
    "00000001.pid": "999999999\n",
    "00000002.pid": "999999999\n",
    "00000002.end": "direct 0\n",
    "00000003.pid": "999999999\n",
    "00000003.end": "exit 0\n",
    "00000003.out": "out\n",
    "00000003.err": "",
    "00000003.said": "whole\n",
}
#: Removes as many things as $LEFT says, one after the other, of a folder `boot` last; and nothing after that.
RM = """#!/bin/sh
r=
one() {
  read -r left <"$LEFT"; [ "$left" -gt 0 ] || exit 137
  if [ "$r" ]; then /bin/rm -d -- "$1"; else /bin/rm -f -- "$1"; fi || exit 1
  echo $((left - 1)) >"$LEFT"
}
for place; do
  case $place in -r*) r=yes; continue;; -*) continue;; esac
  if [ "$r" ]; then for file in "$place"/[!b]* "$place/boot"; do [ ! -e "$file" ] || one "$file"; done; fi
  one "$place"
done
"""


class Far:
    """A device whose shell is `name`, as ``sh`` in its $PATH as well."""

    def __init__(self, folder: Path, name: str) -> None:
        self.marks, self.run, self._bin = folder / "a folder's marks", folder / "a folder's marks" / RUN, folder / "bin"
        self._left = folder / "left"
        found = shutil.which(name)
        assert found is not None
        self._bin.mkdir()
        (self._bin / "sh").symlink_to(found)
        (self._bin / "rm").write_text(RM)
        (self._bin / "rm").chmod(0o755)

    def shell(self, text: str, removes: int = 0) -> str:
        self._left.write_text(f"{removes}\n")
        env = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}", "LEFT": str(self._left)}
        words = [str(self._bin / "sh"), "-c", text]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, env=env).stdout

    def expect(self) -> None:
        self.shell(marks.expect_script(str(self.marks), RUN))

    def make(self) -> None:
        """What an old run has left."""
        shutil.rmtree(self.marks, ignore_errors=True)
        self.expect()
        for name, text in LEFT.items():
            (self.run / name).write_text(text)
        long_ago = time.time() - (marks.KEPT_DAYS + 2) * 86400
        os.utime(self.run, (long_ago, long_ago))

    def settled(self) -> list[Outcome | None]:
        scripts = [marks.settle_script(str(self.marks), f"{RUN}-0000000{number}") for number in (1, 2, 3)]
        return [marks.settled(self.shell(script)) for script in scripts]

    def never_started(self, *, again: bool = True) -> bool:
        """Whether one is said to have never started, now, or when the device is told `again` to expect the run."""
        found = self.settled()
        if again:
            self.expect()
            found += self.settled()
        return any(isinstance(one, Refused) for one in found)


@pytest.fixture(params=SHELLS)
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Far:
    return Far(tmp_path, request.param)


@pytest.mark.parametrize("far", [name for name in SHELLS if name != "busybox"], indirect=True)  # has an `rm` of its own
def test_whenever_removing_an_old_run_is_cut_off_nothing_is_said_to_have_never_started(far: Far) -> None:
    whole = len(LEFT) + 2  # with `boot`, and the folder
    for removes in range(whole + 1):
        far.make()
        far.shell(marks.sweep_script(str(far.marks)), removes)
        left = sorted(os.listdir(far.run)) if removes < whole else []
        assert len(left) == max(0, whole - 1 - removes)
        assert far.run.exists() == (removes < whole)
        assert not far.never_started(again=removes < whole), f"with {left} left"


def test_where_what_vouches_for_an_old_run_cannot_be_removed_the_rest_stays_too(far: Far) -> None:
    far.make()
    (far.run / "boot").unlink()
    (far.run / "boot").mkdir()
    os.utime(far.run, (0, 0))
    far.shell(marks.sweep_script(str(far.marks)), 100)
    assert {path.name for path in far.run.iterdir()} == {*LEFT, "boot"}


def test_a_run_that_is_partly_removed_says_what_is_left_of_it_and_no_more(far: Far) -> None:
    for names in chain.from_iterable(combinations(sorted(LEFT)[3:], size) for size in range(6)):
        far.make()
        for name in {*LEFT, "boot"} - set(names):
            (far.run / name).unlink()
        found = far.settled()
        assert isinstance(found[0], Unknown)
        whole = {"00000003.pid", "00000003.end"} <= set(names)
        assert isinstance(found[2], Completed if whole else Unknown)
        assert not far.never_started(), f"with {names} left"
