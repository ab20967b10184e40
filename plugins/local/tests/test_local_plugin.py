"""What the plugin brings, before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from galaxy_core import Device
from galaxy_core.extension.interfaces import Session, Transport
from galaxy_core_local.plugin import galaxy_transports
from galaxy_core_local.settings import LocalSettings, PythonSettings
from galaxy_core_local.transports import LocalTransport


def test_the_plugin_brings_two_transports() -> None:
    local, python = galaxy_transports()
    assert isinstance(local, Transport)
    assert isinstance(python, Transport)
    assert (local.name, sorted(local.requests), local.settings_model) == ("local", ["run", "shell"], LocalSettings)
    assert (python.name, sorted(python.requests), python.settings_model) == ("python", ["call"], PythonSettings)
    assert not local.actions
    assert not python.actions


def test_loading_the_plugin_loads_no_heavy_library() -> None:
    code = "import galaxy_core_local.plugin, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert set(json.loads(done.stdout)).isdisjoint({"pydantic", "galaxy_core_local.session"})


@pytest.mark.parametrize(
    ("platform", "kind"), [("linux", "linux"), ("darwin", "macos"), ("win32", "windows"), ("sunos5", None)]
)
def test_the_device_is_of_the_type_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, platform: str, kind: str | None
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert LocalTransport().device_type == kind


@pytest.mark.parametrize(
    "wrong",
    [{"roots": "/"}, {"output_cap_bytes": -1}, {"kill_grace_s": -1}, {"drain_s": 0}, {"kill_grace_s": float("inf")}],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LocalSettings.model_validate(wrong)


@pytest.mark.anyio
async def test_a_probe_tells_about_this_machine_and_notices_a_lost_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with LocalTransport().open(Device("here"), LocalSettings(root=root)) as session:
        assert isinstance(session, Session)
        facts = await session.probe()
        assert set(facts) == {"platform", "python", "cpu_count", "hostname", "root"}
        assert all(isinstance(fact, str) for fact in facts.values())
        root.rmdir()
        with pytest.raises(NotADirectoryError):
            await session.probe()


@pytest.mark.anyio
async def test_without_settings_the_working_folder_is_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with LocalTransport().open(Device("here"), None) as session:
        assert (await session.probe())["root"] == str(tmp_path)
