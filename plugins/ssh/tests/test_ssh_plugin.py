"""What the plugin brings, what loading it costs, and that whole runs work on simulated hosts."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core import (
    ConstellationDeviceManager,
    Device,
    PluginRegistry,
    SecretRef,
    TaskConstellationOrchestrator,
    TaskStatus,
    parse_plan,
)
from galaxy_core.errors import SimulatorError
from galaxy_core.extension.adapter.posix import quote
from galaxy_core_ssh import scripts
from galaxy_core_ssh.remote.faults import WORDS, clean, explain
from galaxy_core_ssh.simulate import SshSimulator, daemon

#: The fields of a result.
SAID = ("result", "error", "metadata", "stdout", "stderr", "files")
#: asyncssh's own classes of exceptions that are messages between its parts, not errors.
NOT_ERRORS = {"BreakReceived", "SignalReceived", "TerminalSizeChanged"}


def test_loading_the_plugin_loads_neither_its_library_nor_pydantic() -> None:
    heavy = "[name for name in ('asyncssh', 'pydantic', 'anyio', 'cryptography') if name in sys.modules]"
    code = f"import galaxy_core_ssh.plugin as p, sys; p.galaxy_transports(); p.galaxy_simulators(); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "asyncssh" not in done.stdout
    assert "pydantic" not in done.stdout


def test_it_is_found_by_its_entry_point() -> None:
    registry = PluginRegistry()
    assert registry.transports["ssh"].name == "ssh"
    assert registry.simulators["ssh"].name == "ssh"


def test_every_error_of_asyncssh_has_words() -> None:
    found = {
        name: kind
        for name, kind in vars(asyncssh).items()
        if inspect.isclass(kind) and issubclass(kind, Exception) and name not in NOT_ERRORS
    }
    assert len(found) > 40
    mute = [name for name, kind in found.items() if not any(issubclass(kind, known) for known in WORDS)]
    assert not mute


def test_the_words_of_a_host_cannot_harm_a_terminal() -> None:
    said = clean("\x1b[31mred\r\nnew line\x00 \u202eback" + "x" * 1000)
    assert said.startswith("[31mred new line back")
    assert len(said) < 320
    assert explain(asyncssh.DisconnectError(2, "bye\x1b]0;title\x07")) == "it ended the connection (bye ]0;title)"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_a_text_arrives_through_standard_input_as_it_is(text: str) -> None:
    script = f"printf %s {quote(text)}; cat"
    rest = b"rest\\0012 \n of it"
    done = subprocess.run(
        ["/bin/sh", "-c", scripts.LAUNCH], input=scripts.line(script) + rest, capture_output=True, check=True
    )
    assert done.stdout == text.encode() + rest


@pytest.mark.anyio
async def test_without_sshd_the_simulator_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(daemon, "PLACES", ())
    with pytest.raises(SimulatorError, match="openssh-server"):
        async with SshSimulator().simulate(1, tmp_path):
            raise AssertionError("it started")


async def run(devices: list[Device], plan: Mapping[str, Any]) -> dict[str, Any]:
    manager = ConstellationDeviceManager()
    for device in devices:
        manager.add_device(device)
    constellation = parse_plan(plan).to_constellation()
    async with manager:
        orchestrator = TaskConstellationOrchestrator(manager)
        await orchestrator.orchestrate_constellation(constellation)
    return {task.task_id: task for task in constellation.tasks.values()}


@pytest.mark.anyio
async def test_a_plan_runs_on_simulated_hosts_and_no_secret_shows(
    openssh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A canary in each setting that may hold a secret; everything that comes out is searched for it."""
    monkeypatch.setenv("LAB_TOKEN", "CANARY-env-7d1f")
    caplog.set_level(logging.DEBUG)
    plan = {
        "name": "both",
        "tasks": {
            "make": {"shell": "echo $TOKEN | tee out", "outputs": ["out"], "device": "ssh-1", "env": {"A": "b"}},
            "push": {
                "action": {"push": {"source": {"from": "make", "value": "file.out"}, "target": "in/x"}},
                "device": "ssh-2",
            },
            "read": {"run": ["cat", "in/x"], "device": "ssh-2", "needs": ["push"]},
            "late": {"run": ["sleep", "1004"], "device": "ssh-2", "timeout_s": 0.3},
            "lists": {"shell": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", "device": "ssh-1"},
        },
    }
    async with SshSimulator().simulate(2, tmp_path) as found:
        devices = [
            Device(
                device.device_id,
                "ssh",
                {**device.settings, "env": {"TOKEN": SecretRef(env="LAB_TOKEN")}},
                device_type="linux",
                max_concurrency=3,
            )
            for device in found
        ]
        tasks = await run(devices, plan)
    ends = {name: task.status for name, task in tasks.items()}
    assert ends == {
        "make": TaskStatus.COMPLETED,
        "push": TaskStatus.COMPLETED,
        "read": TaskStatus.COMPLETED,
        "late": TaskStatus.FAILED,
        "lists": TaskStatus.COMPLETED,
    }
    assert tasks["make"].result.stdout == "***\n"
    shown = [caplog.text, repr(devices)]
    for task in tasks.values():
        told = task.result
        shown += [repr(told), repr(task.error), *(repr(getattr(told, name, None)) for name in SAID)]
    assert "CANARY" not in "\n".join(shown)
