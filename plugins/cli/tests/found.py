"""A plugin whose transport finds what its search is told to find, and what a pipe says later; and the start of its inventory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FINDING = """
    import json, os
    from collections.abc import Mapping
    from contextlib import asynccontextmanager
    import anyio
    from pydantic import BaseModel, ConfigDict
    from galaxy_core import Completed, hookimpl
    from galaxy_core.extension.interfaces import FEATURES_OF_COMMANDS, Sighting

    class Search(BaseModel):
        model_config = ConfigDict(extra="forbid")
        sees: list[dict] = []
        pipe: str | None = None
        breaks: str | None = None

    class Session:
        def __init__(self, facts):
            self.facts = facts

        async def execute(self, attempt):
            return Completed("done on it")

        async def probe(self):
            return {"battery": "80"}

    class Finding:
        name, requests, actions, device_type = "finding", frozenset({"run"}), {}, "android"
        settings_model, discovery_model = None, Search
        features = FEATURES_OF_COMMANDS | {"discovers", "facts"}
        known = {}

        @asynccontextmanager
        async def open(self, device, settings):
            facts = self.known.get(device.device_id.partition("-")[2], {})
            if facts.get("model") == "Mute":
                raise OSError("it says nothing")
            yield Session(facts)

        async def discover(self, settings, seen):
            def told(line):
                self.known[line["key"]] = line.get("facts", {})
                seen(Sighting(**{"present": True, **line}))

            for line in settings.sees:
                told(line)
            if settings.breaks is not None:
                raise ConnectionRefusedError(settings.breaks)
            if settings.pipe is None:
                await anyio.sleep_forever()
            pipe = os.open(settings.pipe, os.O_RDWR | os.O_NONBLOCK)
            rest = b""
            while True:
                await anyio.wait_readable(pipe)
                *lines, rest = (rest + os.read(pipe, 1 << 16)).split(b"\\n")
                for line in lines:
                    told(json.loads(line))

    @hookimpl
    def galaxy_transports():
        return [Finding()]
"""
PIXEL = {"key": "p1", "facts": {"model": "Pixel 8", "android": "14"}}
NOKIA = {"key": "n1", "facts": {"model": "Nokia 3310"}}
LOCKED = {"key": "l1\x1b[2J", "problem": "unauthorized: agree on its screen"}


def inventory(*sees: dict[str, Any], more: str = "", **settings: Any) -> str:
    """One search, `phones`, that wants a Pixel with a camera, and this machine."""
    search = json.dumps({"sees": sees, **settings})
    found = f'{{transport: finding, settings: {search}, match: {{model: "Pixel*"}}, capabilities: [camera]{more}}}'
    return f"devices: {{here: {{}}}}\ndiscover:\n  phones: {found}\n"


class Pipe:
    """A named pipe through which a search is told what it sees."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._end = os.open(path, os.O_RDWR)

    def say(self, sighting: dict[str, Any]) -> None:
        os.write(self._end, json.dumps(sighting).encode() + b"\n")

    def close(self) -> None:
        os.close(self._end)
