"""Each example is run as its README says, and does what it promises."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TIMEOUT_S = 120


def output(command: Sequence[str | Path], folder: Path, code: int = 0) -> str:
    """What a command prints that ends with this exit code, by default well."""
    scripts = sysconfig.get_path("scripts")
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        # Collected files go to a temporary folder that stays: here below the test's own.
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(folder)},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def run(plan: Path, folder: Path, code: int = 0) -> dict[str, dict[str, Any]]:
    """The last event of each task, and of the run under ""."""
    lines = output(["galaxy", "run", "--json", plan], folder, code).splitlines()
    events = [json.loads(line) for line in lines]
    assert events[-1]["type"] == "run_result"
    return {event.get("task", ""): event for event in events}


def test_every_example_is_in_the_readme_and_in_this_file() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8") + Path(__file__).read_text(encoding="utf-8")
    found = [
        path for path in EXAMPLES.rglob("*") if path.suffix in {".py", ".yaml"} and "__pycache__" not in path.parts
    ]
    assert found
    assert [path.name for path in found if text.count(path.stem) < 2] == []


def test_inspect_machine_puts_facts_about_this_machine_on_one_page(tmp_path: Path) -> None:
    ended = run(EXAMPLES / "inspect_machine" / "plan.yaml", tmp_path)
    assert ended[""]["status"] == "completed"
    facts = ["system", "disk", "memory", "processor", "speed", "folders", "python", "ports"]
    for task in facts:
        assert ended[task]["status"] == "completed"
        assert isinstance(json.loads(ended[task]["stdout"]), dict)
    busy = json.loads(ended["processor"]["stdout"])["busy_percent"]
    assert busy is None if not Path("/proc/stat").exists() else 0 <= busy <= 100
    page = (tmp_path / "machine-report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert re.search(r"<th>Disk<td>.* GB free", page)
    assert str(json.loads(ended["disk"]["stdout"])["free_gb"]) in page
    assert Path(ended["report"]["files"]["machine-report.html"]).read_text(encoding="utf-8") == page
    full = json.loads(ended["disk"]["stdout"])["used_percent"] > 80
    assert ended["tidy_up"]["status"] == ("completed" if full else "skipped")


def test_tidy_up_of_inspect_machine_runs_when_the_disk_is_full(tmp_path: Path) -> None:
    plan = (EXAMPLES / "inspect_machine" / "plan.yaml").read_text(encoding="utf-8")
    condition = "json.used_percent > `80`"
    assert condition in plan
    (tmp_path / "plan.yaml").write_text(plan.replace(condition, "json.used_percent > `0`"), encoding="utf-8")
    ended = run(tmp_path / "plan.yaml", tmp_path)
    assert ended["tidy_up"]["status"] == "completed"
    assert ended["tidy_up"]["stdout"].startswith("Only ")


@pytest.mark.parametrize(
    ("command", "shown"), [("validate", "11 tasks, nothing wrong"), ("plan", "wave 3"), ("graph", "flowchart")]
)
def test_the_plan_of_inspect_machine_can_be_checked_foretold_and_drawn(
    command: str, shown: str, tmp_path: Path
) -> None:
    assert shown in output(["galaxy", command, EXAMPLES / "inspect_machine" / "plan.yaml"], tmp_path)


def test_replan_clears_the_cache_fetches_again_and_goes_on_without_release_notes(tmp_path: Path) -> None:
    ended = run(EXAMPLES / "replan" / "plan.yaml", tmp_path, code=1)
    statuses = {task: event["status"] for task, event in ended.items()}
    assert statuses == {
        "publish": "completed",
        "fetch": "failed",
        "fetch.clear_cache": "completed",
        "fetch.2": "completed",
        "install": "completed",
        "notes": "failed",
        "notes.diagnosis": "completed",
        "translate": "skipped",
        "report": "completed",
        "": "partially_failed",
    }
    assert "wrong checksum" in ended["fetch"]["stderr"]
    assert ended["notes.diagnosis"]["stdout"].split() == ["tool", "tool.sha256"]
    assert ended["report"]["stdout"] == "installed release 2\n"
    home = tmp_path / "replan-example"
    assert (home / "tool").read_bytes() == (home / "site" / "tool").read_bytes()


def test_embed_asyncio_counts_primes_in_a_plan_beside_other_work(tmp_path: Path) -> None:
    printed = output([sys.executable, "-W", "error", EXAMPLES / "embed_asyncio.py"], tmp_path).splitlines()
    assert "meanwhile the program goes on" in printed
    assert {"  below_1000: completed", "  below_5000: completed", "  below_20000: completed"} <= set(printed)
    assert printed[-2:] == ["  total: completed", f"completed: {168 + 669 + 2262} primes were counted"]


def test_ten_line_strategy_has_ten_lines_at_most_and_places_tasks_by_its_rule(tmp_path: Path) -> None:
    printed = output([sys.executable, "-W", "error", EXAMPLES / "ten_line_strategy.py"], tmp_path).splitlines()
    assert printed == ["alpha ran on first", "beta ran on first", "omega ran on second", "zeta ran on second"]
    source = (EXAMPLES / "ten_line_strategy.py").read_text(encoding="utf-8")
    strategy = re.search(r"^class .*?(?=^\S)", source.replace("\n\n\n", "\n\n"), re.MULTILINE | re.DOTALL)
    assert strategy is not None
    assert len(strategy[0].strip().splitlines()) <= 10


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Path]:
    """An inventory of one simulated device of each kind, and this machine, as `galaxy simulate all` writes it."""
    if shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin") is None:
        pytest.skip("there is no sshd on this machine")
    galaxy = Path(sysconfig.get_path("scripts")) / "galaxy"
    command: list[str | Path] = [galaxy, "simulate", "all", "--json", "--out", "simulated.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = process.stdout.readline()
        try:
            assert len(json.loads(started or "{}").get("devices", ())) == 4, process.communicate()
            yield tmp_path / "simulated.yaml"
        finally:
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, told
    assert not (tmp_path / "simulated.yaml").exists()


def test_four_devices_end_on_one_page_with_a_screenshot(simulated: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        "galaxy",
        "run",
        "--json",
        EXAMPLES / "four_devices" / "plan.yaml",
        "--devices",
        simulated,
    ]
    lines = [json.loads(line) for line in output(command, tmp_path).splitlines()]
    ended = {event.get("task", ""): event for event in lines}
    assert ended[""]["status"] == "completed"
    assert {ended[task]["device"].split("-")[0] for task in ("phone", "battery", "screen")} == {"phone"}
    assert ended["windows"]["device"].startswith("windows")
    assert ended["server"]["device"].startswith("ssh")
    assert 'greeting: 100 % & "quoted"; $(no command)' in ended["windows"]["stdout"]
    page = Path(ended["page"]["files"]["four-devices.html"]).read_text(encoding="utf-8")
    assert "<td>100 % &amp; &quot;quoted&quot;; $(no command)" in page
    picture = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert picture is not None
    assert base64.b64decode(picture[1]) == Path(ended["screen"]["files"]["screen.png"]).read_bytes()
