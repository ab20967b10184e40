"""Secrets of devices stand nowhere: not in what is printed or kept, not in a log, and in no command line of a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="command lines are looked for in /proc")

TIMEOUT_S = 120
CANARY = "kanarienvogel-4711-$ing"
GALAXY = Path(sysconfig.get_path("scripts")) / "galaxy"
#: What each kind of device does with its secret: prints it, whole and by halves of a line, and fails with it.
SHELL = 'echo "it is $CANARY"; echo "$CANARY" >&2; printf %s "$CANARY" | head -c 9; sleep 0.3; exit 3'
POWERSHELL = 'Write-Output "it is $env:CANARY"\nWrite-Error "$env:CANARY"\nStart-Sleep -Milliseconds 300\nexit 3'


class Watch:
    """Looks at the command lines of all processes, over and over."""

    def __init__(self) -> None:
        self.looks = 0
        self.found: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.002):
            self.looks += 1
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        line = Path(entry.path, "cmdline").read_bytes()
                    except OSError:
                        continue
                    if CANARY.encode() in line:
                        self.found.add(line.replace(b"\0", b" ").decode(errors="replace"))


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Path]:
    """Simulated devices that each have the canary in their environment, by reference."""
    if shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin") is None:
        pytest.skip("there is no sshd on this machine")
    command: list[str | Path] = [GALAXY, "simulate", "all", "--json", "--out", "simulated.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            inventory = yaml.safe_load((tmp_path / "simulated.yaml").read_text(encoding="utf-8"))
            for device in inventory["devices"].values():
                device.setdefault("settings", {})["env"] = {"CANARY": {"env": "CANARY_SECRET"}}
            path = tmp_path / "devices.yaml"
            path.write_text(yaml.safe_dump(inventory), encoding="utf-8")
            yield path
        finally:
            process.send_signal(signal.SIGTERM)  # a gate in the background ignores SIGINT, and so would it
            process.communicate(timeout=TIMEOUT_S)


def plan(inventory: Path) -> str:
    """One task per device that tells its secret wherever it can."""
    tasks = {}
    for name, device in yaml.safe_load(inventory.read_text(encoding="utf-8"))["devices"].items():
        if device["transport"] == "winrm":
            tasks[f"script-{name}"] = {"device": name, "action": {"powershell": {"script": POWERSHELL}}}
            tasks[f"cmd-{name}"] = {"device": name, "shell": "echo it is %CANARY%& exit 3"}
        else:
            tasks[f"shell-{name}"] = {"device": name, "shell": SHELL}
            tasks[f"run-{name}"] = {"device": name, "run": ["sh", "-c", SHELL], "env": {"OTHER": "x"}}
            tasks[f"late-{name}"] = {"device": name, "shell": 'echo "$CANARY"; sleep 60', "timeout_s": 0.5}
    return json.dumps({"name": "canaries", "tasks": tasks})


@pytest.mark.parametrize("view", [["--json"], ["--debug"], []])
def test_a_secret_of_a_device_is_nowhere_to_be_found(devices: Path, tmp_path: Path, view: list[str]) -> None:
    (tmp_path / "plan.json").write_text(plan(devices), encoding="utf-8")
    kept = tmp_path / "kept"
    command: list[str | Path] = [GALAXY, "run", *view, "plan.json", "--devices", devices, "--artifacts", kept]
    journal = tmp_path / "journal"
    env = {
        **os.environ,
        "CANARY_SECRET": CANARY,
        "GALAXY_JOURNAL": str(journal),
        "TMPDIR": str(tmp_path),
        "PYTHONLOGGING": "debug",
    }
    with Watch() as watch:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 1, done.stderr.decode()
    assert done.stdout.count(b"it is ***") >= 4, done.stdout.decode() + done.stderr.decode()
    assert CANARY.encode() not in done.stdout + done.stderr
    for words in (["export", "last"], ["show", "last", "--json"], ["replay", "last", "--json"]):
        told = subprocess.run([GALAXY, *words], env=env, capture_output=True, timeout=TIMEOUT_S, check=True).stdout
        assert b"it is ***" in told
        assert CANARY.encode() not in told
    files = [path for folder in (kept, journal) for path in folder.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(journal) for path in files)
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []
    assert watch.looks > 10
    assert watch.found == set()
