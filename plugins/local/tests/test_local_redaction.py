"""Secrets of the device do not come back in output."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from galaxy_core import Command

Execute = Callable[..., Awaitable[Any]]


@pytest.mark.anyio
async def test_a_secret_of_the_device_is_not_in_the_output(execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    outcome = await execute(
        Command(None, 'printf \'%s\\n\' "$TOKEN"; echo "$TOKEN" >&2; echo $MODE'),
        env={"TOKEN": "hunter2", "MODE": "production"},
        secrets=["TOKEN"],
        heard=lambda _stream, text: heard.append(text),
    )
    assert (outcome.stdout, outcome.stderr) == ("***\nproduction\n", "***\n")
    assert "hunter2" not in "".join(heard)
    assert "".join(heard).count("***") == 2


@pytest.mark.anyio
async def test_a_cap_within_a_secret_shows_no_part_of_it(execute: Execute) -> None:
    outcome = await execute(
        Command(["echo", "is hunter2"]), env={"TOKEN": "hunter2"}, secrets=["TOKEN"], output_cap_bytes=8, keep=False
    )
    assert outcome.stdout == "is "
    assert outcome.truncated


@pytest.mark.anyio
async def test_what_is_heard_beyond_the_cap_is_without_secrets_too(execute: Execute) -> None:
    heard: list[str] = []
    outcome = await execute(
        Command(None, "yes $TOKEN | head -c 280000"),
        env={"TOKEN": "hunter2hunter"},
        secrets=["TOKEN"],
        output_cap_bytes=100,
        heard=lambda _stream, text: heard.append(text),
    )
    assert not [text for text in heard if "nter" in text and "***" not in text]
    assert set("".join(heard).replace("***", "").split("\n")[:-1]) == {""}
    assert outcome.metadata["stdout_file_bytes"] == 280_000
