"""A secret is in nothing that the command writes, wherever in the settings it is, and whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_core_cli.exits import Exit

from .asking import Galaxy, Write

CANARY = "hunter2canary"
PLAN = """
    tasks:
      a: {run: [nowhere-to-be-found]}
      b: {shell: "pwd; env; echo $TOKEN >&2; exit 3"}
      c: {run: [/tmp], cwd: nowhere}
"""
SETTINGS = {
    "root that is not there": "root: {env: SEC}",
    "root that is there": "root: {env: FOLDER}",
    "root by an absolute path": "root: {env: ABSOLUTE}",
    "shell": "shell: {env: SEC}",
    "env": "env: {TOKEN: {env: SEC}}",
    "PATH": "env: {PATH: {env: SEARCH}}",
    "of another kind": "kill_grace_s: {env: SEC}, drain_s: {env: SEC}",
    "unknown": "secret: {env: SEC}",
    "in a list": "env: [{env: SEC}]",
    "from a file": "root: {file: canary.txt}",
}


@pytest.fixture
def devices(folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {
        "SEC": CANARY,
        "FOLDER": f"{CANARY}-there",
        "ABSOLUTE": f"{folder}//{CANARY}-there/",
        "SEARCH": f"/x:{CANARY}-there:/bin:/usr/bin",
    }.items():
        monkeypatch.setenv(name, value)
    (folder / f"{CANARY}-there").mkdir()
    write("canary.txt", CANARY).chmod(0o600)
    write("plan.yaml", PLAN)
    return folder


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(
    "command",
    [
        ["run", "plan.yaml", "--json"],
        ["run", "plan.yaml"],
        ["run", "plan.yaml", "--debug"],
        ["devices", "probe"],
        ["devices", "probe", "--json"],
        ["devices", "list", "--json"],
        ["validate", "plan.yaml"],
        ["plan", "plan.yaml"],
    ],
    ids=" ".join,
)
def test_a_secret_is_not_shown(galaxy: Galaxy, write: Write, devices: Path, kind: str, command: list[str]) -> None:
    inherit = "" if kind == "in a list" else ", inherit_env: false"  # else the tasks themselves would show it
    write("devices.yaml", f"devices: {{a: {{settings: {{{SETTINGS[kind]}{inherit}}}}}}}")
    done = galaxy(*command, "--devices", "devices.yaml")
    assert done.out + done.err
    assert CANARY not in done.out + done.err


def test_what_is_masked_is_still_explained(galaxy: Galaxy, write: Write, devices: Path) -> None:
    write("devices.yaml", "devices: {a: {settings: {root: {env: SEC}}}, b: {settings: {root: {env: FOLDER}}}}")
    done = galaxy("devices", "probe", "--devices", "devices.yaml")
    assert done.code == Exit.NOT_ALL
    gone, there = done.out[: done.out.index("  b ")], done.out[done.out.index("  b ") :]
    assert f"its working folder '{devices}/***' is no folder" in gone
    assert f"{devices}/***" in there
