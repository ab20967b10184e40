"""The reporters of `galaxy run` keep the contract of observers."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from galaxy_core import TaskConstellation
from galaxy_core.testing.contract import Audience, ObserverContract
from galaxy_core_cli.running.jsonl import JsonReporter
from galaxy_core_cli.running.live import LiveReporter
from galaxy_core_cli.running.plain import PlainReporter


class Kept:
    """Lines that are kept in place of being printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, lines: list[str]) -> None:
        self.lines += lines


def audience(kind: Callable[..., Any]) -> Audience:
    def make(plan: TaskConstellation) -> Any:
        return kind(plan, Kept(), output=True)

    heard = make(TaskConstellation()).heard
    return Audience(make, lambda reporter: reporter._lines.lines, heard)


class TestJson(ObserverContract):
    @pytest.fixture
    def observer(self) -> Audience:
        return audience(JsonReporter)


class TestPlain(ObserverContract):
    @pytest.fixture
    def observer(self) -> Audience:
        return audience(PlainReporter)


class TestLive(ObserverContract):
    @pytest.fixture
    def observer(self) -> Audience:
        def make(plan: TaskConstellation) -> Any:
            return LiveReporter(plan, Console(file=io.StringIO()), output=True)

        return Audience(make, lambda reporter: reporter._console.file.getvalue(), LiveReporter.heard)
