"""The plugin `local`: what the entry point leads to. Loads neither pydantic nor anyio by itself."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import Transport
from galaxy_core_local.transports import LocalTransport, PythonTransport


@hookimpl
def galaxy_transports() -> Iterable[Transport]:
    return [LocalTransport(), PythonTransport()]
