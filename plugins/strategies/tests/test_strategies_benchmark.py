"""The comparison on plans of real executions runs, and nothing in it beats the bound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "strategies.py"


@pytest.mark.parametrize("estimates", ["exact", "kind", "none"])
def test_no_simulated_run_is_shorter_than_the_bound(estimates: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--estimates", estimates], capture_output=True, text=True, check=True
    )
    head, *plans, means = done.stdout.splitlines()
    columns = head.split()[4:]  # after: plan, fits, "bound, s"
    assert columns[:3] == ["round_robin", "capability_match", "load_balance"]
    assert [line.split()[:2] for line in plans] == [["montage-dss-05d", "all"], ["montage-dss-05d", "kinds"]]
    for line in [*plans, means]:
        ratios = [float(word) for word in line.split()[-len(columns) :]]
        assert len(ratios) == 7
        assert min(ratios) >= 1.0


def test_a_folder_without_plans_is_refused(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no plan (*.json)" in done.stderr
