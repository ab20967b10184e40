"""The plugin as the kernel finds it: light, declared, and good for a whole run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import (
    Action,
    Command,
    ConstellationDeviceManager,
    Device,
    PluginRegistry,
    Reference,
    TaskConstellation,
    TaskConstellationOrchestrator,
    TaskStar,
    TaskStarLine,
)
from galaxy_core_winrm.simulate.host import WindowsHost
from galaxy_core_winrm.transport import WinrmTransport


def test_the_plugin_is_found() -> None:
    registry = PluginRegistry()
    assert "winrm" in registry.transports


def test_loading_the_plugin_loads_no_library() -> None:
    code = (
        "import json, sys; import galaxy_core_winrm.plugin as plugin; transport, = plugin.galaxy_transports(); "
        "print(json.dumps([name for name in ('pydantic', 'anyio', 'winrm', 'requests', 'spnego') if name in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert not {"winrm", "requests", "spnego"} & set(json.loads(found))


@pytest.mark.anyio
async def test_a_plan_runs_from_end_to_end(host: WindowsHost, tmp_path: Any) -> None:
    settings = {"endpoint": host.endpoint, "username": host.username, "password": host.password}
    plan = TaskConstellation("windows")
    plan.add_task(TaskStar("there", request=Command(None, "echo %COMPUTERNAME%")))
    plan.add_task(TaskStar("copy", request=Command(["cat"], stdin=Reference("there"))))
    plan.add_dependency(TaskStarLine("there", "copy"))
    plan.add_task(
        TaskStar(
            "report", request=Action("powershell", {"script": "param($n)\nWrite-Output $n", "parameters": {"n": 7}})
        )
    )
    plan.add_task(TaskStar("fails", request=Command(None, "exit 5")))
    device = Device("office", "winrm", settings, max_concurrency=3)
    async with ConstellationDeviceManager() as manager:
        manager.add_device(device)
        orchestrator = TaskConstellationOrchestrator(manager)
        await manager.connect_all()
        await orchestrator.orchestrate_constellation(plan, assignment_strategy="load_balance")
    found = {name: task.result for name, task in plan.tasks.items()}
    assert found["copy"].stdout == f"{host.name}\r\n"
    assert found["report"].stdout == "7\r\n"
    assert found["fails"].exit_code == 5
    assert host.shells == []


def test_the_reference_page_names_every_setting_and_every_argument() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "transport-winrm.md").read_text(encoding="utf-8")
    transport = WinrmTransport()
    for name in transport.settings_model.model_fields:
        assert f"\n| `{name}` | " in page, name
    for action, model in transport.actions.items():
        assert all(f"`{name}`" in page for name in (action, *model.model_fields))
    assert all(field.description for model in (transport.settings_model, *transport.actions.values())
               for field in model.model_fields.values())  # fmt: skip
