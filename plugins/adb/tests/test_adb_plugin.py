"""What the plugin brings, before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from galaxy_core.extension.interfaces import Transport
from galaxy_core.extension.transports import FEATURES
from galaxy_core_adb.plugin import galaxy_transports
from galaxy_core_adb.requests import ACTIONS
from galaxy_core_adb.settings import AdbDiscovery, AdbSettings


def test_the_plugin_brings_one_transport() -> None:
    (adb,) = galaxy_transports()
    assert isinstance(adb, Transport)
    assert (adb.name, sorted(adb.requests), adb.settings_model) == ("adb", ["run", "shell"], AdbSettings)
    assert set(adb.features) <= set(FEATURES)  # type: ignore[attr-defined]
    assert adb.actions == ACTIONS


def test_loading_the_plugin_loads_no_heavy_library() -> None:
    code = "import galaxy_core_adb.plugin, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert set(json.loads(done.stdout)).isdisjoint({"pydantic", "adbutils", "galaxy_core_adb.session"})


@pytest.mark.parametrize("model", [AdbSettings, AdbDiscovery, *ACTIONS.values()])
def test_every_setting_and_argument_says_what_it_is(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())
    assert model.model_config["extra"] == "forbid"
    assert model.model_json_schema()["description"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"serial": ""},
        {"serial": "a b"},
        {"serial": "a\nb"},
        {"serial": "a;b"},
        {"serial": "x", "server_port": 0},
        {"serial": "x", "root": "relative"},
        {"serial": "x", "root": "/data/it's"},
        {"serial": "x", "env": {"A B": "c"}},
        {"serial": "x", "connect_timeout_s": 0},
        {"serial": "x", "host": "10.0.0.1"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AdbSettings.model_validate(wrong)


@pytest.mark.parametrize(
    ("action", "wrong"),
    [
        ("push", {"source": "a"}),
        ("push", {"source": "a", "target": "b", "mode": "999"}),
        ("pull", {"path": "a", "name": "../b"}),
        ("install", {"apk": ""}),
        ("uninstall", {"package": "org.example; rm -rf /"}),
        ("start_activity", {"component": "no-slash"}),
        ("tap", {"x": -1, "y": 2}),
        ("text", {"text": "é"}),
        ("text", {"text": "two\nlines"}),
        ("key", {"key": "HOME; reboot"}),
        ("logcat", {"lines": 5, "since": "01-02 03:04:05.000"}),
        ("logcat", {"filters": ["*:S; reboot"]}),
        ("reboot", {"mode": "edl"}),
        ("forward", {"remote": "tcp:80;tcp:81"}),
        ("battery", {"more": 1}),
    ],
)
def test_wrong_arguments_are_refused(action: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ACTIONS[action].model_validate(wrong)


def test_secrets_do_not_show() -> None:
    settings = AdbSettings(serial="x", env={"TOKEN": SecretStr("s3cret")})
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
