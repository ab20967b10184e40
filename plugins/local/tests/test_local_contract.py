"""The transports `local` and `python` keep the contract of transports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from galaxy_core.testing.contract import CALLS, Bench, TransportContract
from galaxy_core_local.transports import LocalTransport, PythonTransport

from .far_side import Processes, RecordedWork


@pytest.mark.skipif(sys.platform != "linux", reason="what runs is found in /proc")
class TestLocal(TransportContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        root, truth = tmp_path / "root", tmp_path / "truth"
        root.mkdir()
        settings = {"root": str(root), "kill_grace_s": 0.2, "marks": str(tmp_path / "marks")}
        nowhere = {"root": str(tmp_path / "nowhere")}
        return Bench(LocalTransport(), settings, RecordedWork(truth), Processes(truth), nowhere)


class TestPython(TransportContract):
    has_far_side = False

    @pytest.fixture
    def bench(self) -> Bench:
        return Bench(PythonTransport(), work=CALLS)
