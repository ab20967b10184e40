"""What an inventory may say of a device of these transports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LocalSettings(BaseModel):
    """Settings of a device of transport `local`. All may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path | None = Field(
        default=None,
        description="Working folder of its tasks; default: the current folder of the process that orchestrates.",
    )
    # All are treated as secrets, because any of them may be one, and nobody needs to see the others in a log.
    env: dict[str, SecretStr] = Field(
        default_factory=dict, description="Environment variables for every task; a task's own win over them."
    )
    inherit_env: bool = Field(
        default=True, description="Whether tasks get the environment of the orchestrating process, too."
    )
    output_cap_bytes: Bytes = Field(
        default=1 << 20, description="How much of standard output, and of standard error, is kept in the result."
    )
    artifact_cap_bytes: Bytes = Field(
        default=64 << 20,
        description="How much of a stream that exceeds output_cap_bytes is kept in a file; 0 for no file.",
    )
    kill_grace_s: Seconds = Field(default=2.0, description="Time between asking a process tree to end and killing it.")
    drain_s: Annotated[Seconds, Field(gt=0)] = Field(
        default=1.0,
        description="How long background processes may hold the output open after the command itself has ended.",
    )
    marks: Path | None = Field(
        default=None,
        description="Folder of the markers that tasks which may run only once leave in journalled runs; "
        "default: galaxy/marks below $XDG_STATE_HOME or ~/.local/state.",
    )
    shell: str | None = Field(
        default=None,
        description="Program that runs shell texts, called with -c; default: /bin/sh, on Windows %ComSpec% /c.",
    )


class PythonSettings(BaseModel):
    """Settings of a device of transport `python`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: bool = Field(
        default=False,
        description="Whether functions that are not `async def` run in worker threads, at most max_concurrency at once.",
    )
