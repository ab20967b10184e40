"""The plugin `ssh`: what the entry point leads to. Loads neither pydantic nor asyncssh by itself."""

from __future__ import annotations

from collections.abc import Iterable

from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import Simulator, Transport
from galaxy_core_ssh.simulate import SshSimulator
from galaxy_core_ssh.transport import SshTransport


@hookimpl
def galaxy_transports() -> Iterable[Transport]:
    return [SshTransport()]


@hookimpl
def galaxy_simulators() -> Iterable[Simulator]:
    return [SshSimulator()]
