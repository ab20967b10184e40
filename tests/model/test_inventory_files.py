"""Inventory files: devices, their settings, secrets by reference, and what is wrong with them."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from galaxy_core.errors import DocumentError
from galaxy_core.model.device import Device, Discovery, SecretRef
from galaxy_core.model.inventory_file import Inventory, load_inventory, parse_inventory
from galaxy_core.model.schema_inventory import inventory_json_schema

# The example of the design, which is the contract of the keys.
DEVICES = """\
devices:
  here:   {transport: local, max_concurrency: 4, capabilities: [posix]}
  pixel:  {transport: adb, settings: {serial: "emulator-5554"}, capabilities: [battery, camera]}
  office: {transport: winrm, settings: {endpoint: "https://10.0.0.5:5986/wsman", username: lab, password: {env: OFFICE_PASSWORD}}}
"""
VALIDATOR = Draft202012Validator(inventory_json_schema())


def refused(data: Any, format: str = "yaml") -> list[tuple[str, int | None, str]]:
    with pytest.raises(DocumentError) as caught:
        parse_inventory(data, format, "devices.yaml")
    return list(caught.value.problems)


def device_of(keys: dict[str, Any]) -> Device:
    (device,) = parse_inventory({"devices": {"it": keys}}).devices
    return device


def test_the_inventory_of_the_design_is_read_as_it_says() -> None:
    here, pixel, office = parse_inventory(DEVICES).devices
    assert here == Device("here", "local", capabilities=["posix"], max_concurrency=4)
    assert pixel == Device("pixel", "adb", {"serial": "emulator-5554"}, capabilities=["battery", "camera"])
    assert office.settings == {
        "endpoint": "https://10.0.0.5:5986/wsman",
        "username": "lab",
        "password": SecretRef(env="OFFICE_PASSWORD"),
    }


def test_a_device_has_a_type_and_metadata_too() -> None:
    device = device_of({"device_type": "android", "metadata": {"rack": 3, "owner": {"name": "lab"}}})
    assert (device.transport, device.max_concurrency) == ("local", 1)
    assert (device.device_type, device.metadata) == ("android", {"rack": 3, "owner": {"name": "lab"}})


def test_without_an_inventory_there_is_this_machine() -> None:
    (here,) = Inventory().devices
    assert (here.device_id, here.transport) == ("here", "local")
    assert here.max_concurrency >= 1


def test_an_inventory_may_be_empty() -> None:
    assert parse_inventory("devices: {}").devices == []


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ({"env": "X"}, SecretRef(env="X")),
        ({"file": "/run/secret"}, SecretRef(file="/run/secret")),
        ({"keyring": "galaxy/lab"}, SecretRef(keyring="galaxy/lab")),
        ({"auth": {"password": {"env": "X"}}}, {"auth": {"password": SecretRef(env="X")}}),
        ([{"file": "a"}, "b"], [SecretRef(file="a"), "b"]),
        ({"env": "X", "file": "y"}, {"env": "X", "file": "y"}),
        ({"env": 3}, {"env": 3}),
        ({"env": {"LANG": "C"}}, {"env": {"LANG": "C"}}),
        ({"path": "x"}, {"path": "x"}),
    ],
)
def test_a_setting_that_refers_to_a_secret_becomes_a_reference(value: Any, becomes: Any) -> None:
    assert device_of({"settings": {"it": value}}).settings == {"it": becomes}


def test_metadata_refers_to_no_secrets() -> None:
    assert device_of({"metadata": {"it": {"env": "X"}}}).metadata == {"it": {"env": "X"}}


def test_the_formats_say_the_same(tmp_path: Path) -> None:
    data = {
        "devices": {"a": {"transport": "adb", "settings": {"pin": {"env": "PIN"}, "port": 1}, "max_concurrency": 2}}
    }
    toml = '[devices.a]\ntransport = "adb"\nmax_concurrency = 2\nsettings.pin.env = "PIN"\nsettings.port = 1\n'
    texts = {"a.json": json.dumps(data), "a.toml": toml, "a.yaml": json.dumps(data)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (device,) = load_inventory(tmp_path / name).devices
        assert [evolve(device, folder=None)] == parse_inventory(data).devices


def test_all_problems_come_at_once_with_their_lines() -> None:
    text = "devices:\n  a: {transpot: local, type: linux, requires: [x]}\n  b:\n    max_concurrency: 0\n    capabilities: gpu\n  c d: {}\ndevice: {}\n"
    allowed = "'transport', 'settings', 'device_type', 'capabilities', 'metadata', 'max_concurrency'"
    assert refused(text) == [
        ("devices.a.transpot", 2, f"unknown key 'transpot'; did you mean 'transport'?; allowed are {allowed}"),
        ("devices.a.type", 2, f"unknown key 'type'; did you mean 'device_type'?; allowed are {allowed}"),
        ("devices.a.requires", 2, f"unknown key 'requires'; did you mean 'capabilities'?; allowed are {allowed}"),
        ("devices.b.max_concurrency", 4, "found the number 0; it must be at least 1"),
        ("devices.b.capabilities", 5, "found the text 'gpu'; a list is wanted here; write [gpu]"),
        (
            'devices["c d"]',
            6,
            "'c d' cannot be a key here: an id has up to 128 letters, digits, '_', '-' and '.', and does not begin with '.'",
        ),
        ("device", 7, "unknown key 'device'; did you mean 'devices'?; allowed are 'devices', 'discover'"),
    ]


def test_an_inventory_without_devices_says_so() -> None:
    why = "it has neither 'devices' nor 'discover': name devices below one, or say where to look below the other"
    assert refused("{}") == [("", None, why)]
    assert refused("") == [
        ("", None, "is empty; an inventory is a mapping of keys to values, such as devices: {here: {transport: local}}")
    ]


def test_an_error_never_shows_what_stands_in_settings() -> None:
    found = refused({"devices": {"a": {"settings": "hunter2"}, "b": {"settings": {"x": ("hunter2",)}}}})
    assert found == [
        ("devices.a.settings", None, "found a text; a mapping is wanted here"),
        (
            "devices.b.settings.x",
            None,
            "found a list of 1; a text, number, true, false, null, list or mapping is wanted here",
        ),
    ]


def test_a_date_in_settings_is_refused() -> None:
    assert refused("[devices.a.settings]\nday = 2026-01-02\n", "toml")[0][:2] == ("devices.a.settings.day", 2)


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        ({"devices": {}}, True),
        ({"devices": {"a": {}}}, True),
        ({"devices": {"a": {"settings": {"x": [None]}, "metadata": {}, "capabilities": ["x"]}}}, True),
        ({}, False),
        ({"devices": []}, False),
        ({"devices": {"a b": {}}}, False),
        ({"devices": {"a": {"oops": 1}}}, False),
        ({"devices": {"a": {"max_concurrency": 0}}}, False),
        ({"devices": {"a": {"device_type": "toaster"}}}, False),
        ({"devices": {"a": {"transport": ""}}}, False),
        ({"devices": {"a": {"settings": None}}}, False),
    ],
)
def test_the_json_schema_agrees_with_the_reader(data: dict[str, Any], valid: bool) -> None:
    Draft202012Validator.check_schema(inventory_json_schema())
    assert VALIDATOR.is_valid(data) is valid
    if valid:
        parse_inventory(data)
    else:
        assert refused(data)


def test_a_plan_in_the_place_of_an_inventory_is_told_as_such() -> None:
    assert refused("tasks: {a: {run: [x]}}") == [
        ("", None, "is a plan, not an inventory: it has 'tasks', and no 'devices'")
    ]


def test_relative_paths_in_a_file_are_seen_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab").mkdir()
    text = """devices:
      a: {settings: {root: work, keys: [{file: s.txt}, {file: ../t.txt}, {file: /u.txt}, {file: ~/v.txt}, {env: s.txt}]}}
    """
    (tmp_path / "lab" / "devices.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    (device,) = load_inventory("lab/devices.yaml").devices
    folder = tmp_path / "lab"
    assert device.folder == str(folder)
    assert device.settings["root"] == "work"
    assert [str(one) for one in device.settings["keys"]] == [
        f"file:{folder}/s.txt",
        f"file:{folder}/../t.txt",
        "file:/u.txt",
        "file:~/v.txt",
        "env:s.txt",
    ]


def test_relative_paths_in_what_is_no_file_are_left_as_they_are(tmp_path: Path) -> None:
    text = "devices: {a: {settings: {key: {file: s.txt}}}}"
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:  # opening either end waits for the other
        pool.submit((tmp_path / "pipe").write_text, text)
        piped = load_inventory(tmp_path / "pipe")
    for inventory in (piped, parse_inventory(text)):
        (device,) = inventory.devices
        assert (device.folder, device.settings["key"]) == (None, SecretRef(file="s.txt"))


class TestDiscoveries:
    TEXT = """
discover:
  phones:
    transport: adb
    settings: {server_port: 5038}
    match: {model: "Pixel*"}
    capabilities: [camera]
    max_concurrency: 2
    wait_s: 5
    device_settings: {root: /data/local/tmp/lab, serial: other, env: {TOKEN: {env: LAB_TOKEN}}}
"""

    def test_say_where_to_look_and_what_is_found(self) -> None:
        inventory = parse_inventory(self.TEXT)
        (found,) = inventory.discoveries
        assert inventory.devices == []
        assert (found.name, found.transport, found.settings, found.wait_s) == (
            "phones",
            "adb",
            {"server_port": 5038},
            5,
        )
        device = found.device("emulator-5554", {"serial": "emulator-5554"}, "android")
        assert device.device_id == "phones-emulator-5554"
        assert device.settings == {
            "root": "/data/local/tmp/lab",
            "serial": "emulator-5554",
            "env": {"TOKEN": SecretRef(env="LAB_TOKEN")},
        }
        assert (device.device_type, sorted(device.capabilities), device.max_concurrency) == ("android", ["camera"], 2)

    def test_need_a_transport_and_take_no_other_keys(self) -> None:
        wrong = refused("discover: {phones: {device: adb}}")
        assert sorted((place, text.split(";")[0]) for place, _, text in wrong) == [
            ("discover.phones", "'transport' is missing"),
            ("discover.phones.device", "unknown key 'device'"),
        ]

    def test_match_facts_by_patterns_all_of_them(self) -> None:
        found = Discovery("a", "adb", match={"model": "Pixel*", "abi": "arm64-v8a"})
        assert found.takes({"model": "Pixel 8", "abi": "arm64-v8a", "more": ""})
        assert not found.takes({"model": "pixel 8", "abi": "arm64-v8a"})
        assert not found.takes({"model": "Pixel 8"})

    @given(st.text(), st.text())
    def test_every_key_gives_an_id_of_its_own(self, key: str, other: str) -> None:
        found = Discovery("a", "adb")
        one, two = (found.device(text, {}, None).device_id for text in (key, other))
        assert re.fullmatch(r"a-[A-Za-z0-9._-]{0,80}", one)
        assert (one == two) is (key == other)
