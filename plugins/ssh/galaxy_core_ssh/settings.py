"""What an inventory may say of a device of this transport."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Host = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f/@\[\]]{1,255}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SshHop(BaseModel):
    """How one host is reached and convinced: the device itself, or a host on the way to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Host = Field(description="Name or address of the host; an IPv6 address without brackets.")
    port: Port = Field(default=22, description="Port of its SSH server.")
    username: str = Field(min_length=1, description="User to log in as; its rights are those of all tasks.")
    password: SecretStr | None = Field(default=None, description="Password of that user; give it by reference.")
    keys: list[Path | SecretStr] = Field(
        default_factory=list,
        description="Private keys: paths of files, or the keys themselves by reference. Relative paths are seen from the inventory.",
    )
    passphrase: SecretStr | None = Field(default=None, description="What encrypted `keys` are opened with.")
    agent: bool = Field(default=False, description="Whether keys of the agent at SSH_AUTH_SOCK are tried.")
    known_hosts: Path = Field(
        default=Path("~/.ssh/known_hosts"),
        description="File that must hold the host's key, as OpenSSH writes it. It cannot be switched off.",
    )
    host_key: str | None = Field(
        default=None,
        description='The host\'s public key itself ("ssh-ed25519 AAAA…"), in place of `known_hosts`.',
        pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?$",
    )

    @field_validator("keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        """A text with a line break is a key, which a reference has been replaced with; anything else is a path."""
        if not isinstance(value, list | tuple):
            return value
        return [(SecretStr(one) if "\n" in one else Path(one)) if isinstance(one, str) else one for one in value]

    @model_validator(mode="after")
    def _is_known_somehow(self) -> SshHop:
        if not (self.keys or self.agent or self.password):
            raise ValueError("nothing to log in with: give keys, agent: true, or a password by reference")
        return self


class SshSettings(SshHop):
    """Settings of a device of transport `ssh`."""

    jump: list[SshHop] = Field(
        default_factory=list, description="Hosts to go through, the first one first; each is checked like the device."
    )
    root: str = Field(
        default=".galaxy",
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Working folder of its tasks, made if missing; a relative one is below the user's home.",
    )
    allow_any_path: bool = Field(
        default=False, description="Whether `push` and `pull` may name absolute paths outside of `root`."
    )
    files_root: Path | None = Field(
        default=None,
        description="Folder of this machine that `push` and `files` may read from, beside files that tasks have left; default: that of the inventory, else the current one.",
    )
    env: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Environment variables for every task; a task's own win. They appear in no process list.",
    )
    max_channels: int = Field(
        default=8,
        ge=2,
        le=1000,
        description="Channels of one connection, below the MaxSessions of the host (10 unless it says otherwise); more connections are opened as needed. One is kept for housekeeping.",
    )
    connect_timeout_s: Annotated[Seconds, Field(gt=0)] = Field(
        default=10.0, description="Time for connecting and logging in, hosts on the way included."
    )
    keepalive_s: Annotated[Seconds, Field(gt=0)] = Field(
        default=5.0, description="Time between signs of life; two that are not answered lose the connection."
    )
    output_cap_bytes: Bytes = Field(
        default=1 << 20, description="How much of standard output, and of standard error, is kept in the result."
    )
    artifact_cap_bytes: Bytes = Field(
        default=64 << 20,
        description="How much of a stream that exceeds output_cap_bytes is kept in a file; 0 for no file.",
    )
    kill_grace_s: Annotated[Seconds, Field(le=0.5)] = Field(
        default=0.2, description="Time between asking the processes of a cancelled task to end and killing them."
    )
    drain_s: Annotated[Seconds, Field(gt=0)] = Field(
        default=1.0,
        description="How long background processes may hold the output open after the command itself has ended.",
    )

    @field_validator("env")
    @classmethod
    def _variables(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, text in value.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of an environment variable")
            if "\0" in text.get_secret_value():
                raise ValueError(f"variable {name!r} holds a NUL character, which no variable can")
        return value
