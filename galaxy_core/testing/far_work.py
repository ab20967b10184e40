"""The words in which a `FakeFarSide` is asked for things."""

from __future__ import annotations

from typing import Final

from galaxy_core.model.request import Command, Request
from galaxy_core.testing.contract.work import Work
from galaxy_core.testing.far_side import ROOT


class FarWork(Work):
    """The words of a `FakeFarSide`."""

    def say(self, text: str) -> Request | None:
        return Command(["say", text])

    def say_both(self, out: str, err: str) -> Request | None:
        return Command(["say", out, err])

    def end(self, code: int) -> Request | None:
        return Command(["end", str(code)])

    def wait(self, text: str, seconds: float) -> Request | None:
        return Command(["wait", text, f"{seconds:g}"])

    def forever(self, text: str) -> Request | None:
        return Command(["stay", text, "0"])

    def forever_with_child(self, text: str) -> Request | None:
        return Command(["stay", text, "1"])

    def copy_stdin(self, text: str) -> Request | None:
        return Command(["copy"], stdin=text)

    def flood(self, size_bytes: int) -> Request | None:
        return Command(["flood", str(size_bytes)])

    def binary(self) -> Request | None:
        return Command(["binary"])

    def arguments(self, *words: str) -> Request | None:
        return Command(["arguments", *words])

    def variable(self, name: str, value: str) -> Request | None:
        return Command(["variable", name], env={name: value})

    def folder(self) -> tuple[Request, str] | None:
        return Command(["where"], cwd=ROOT), ROOT

    def missing_folder(self) -> Request | None:
        return Command(["where"], cwd="/no/such/folder")

    def show(self, name: str, source: str) -> Request | None:
        return Command(["show", name], files={name: source})

    def leave(self, name: str, text: str) -> Request | None:
        return Command(["leave", name, text], outputs=(name,))


FAR: Final = FarWork()
