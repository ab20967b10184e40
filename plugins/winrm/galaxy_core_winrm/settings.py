"""What an inventory may say of a device of transport `winrm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from galaxy_core_winrm import quoting
from galaxy_core_winrm.endpoint import Endpoint, parse

Bytes = Annotated[int, Field(ge=0)]


class WinrmSettings(BaseModel):
    """Settings of a device of transport `winrm`: where it is, who we are there, and how much of it is used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(
        description="Address of its WinRM service: https://HOST[:5986][/wsman], or http:// where NTLM or Kerberos encrypts."
    )
    username: str = Field(min_length=1, description=r"Who we are there: NAME, DOMAIN\NAME, or NAME@REALM for Kerberos.")
    password: SecretStr | None = Field(
        default=None, description="Its password, by reference; not for Kerberos, which takes the ticket that is there."
    )
    auth: Literal["ntlm", "kerberos", "basic"] = Field(
        default="ntlm", description="How we prove who we are. basic only over https."
    )
    ca_file: Path | None = Field(
        default=None,
        description="File (PEM) with the certificates to trust in place of the usual ones, or with the very certificate "
        "of a host that signed its own; relative to the inventory.",
    )
    encrypt: Literal["auto", "always"] = Field(
        default="auto",
        description="Whether messages are encrypted by NTLM or Kerberos: over http always; over https only with 'always'.",
    )
    kerberos_delegation: bool = Field(
        default=False, description="Whether the host may act in our name towards others (Kerberos only)."
    )
    connect_timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=10.0, description="Longest time to connect."
    )
    answer_timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=30,
        description="How long the host may be silent beyond operation_timeout_s before its answer counts as lost.",
    )
    operation_timeout_s: Annotated[int, Field(ge=1, le=600)] = Field(
        default=20,
        description="How long the host holds a request for output that is not there yet. No limit of any task.",
    )
    max_shells: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Most shells at a time; default: max_concurrency of the device and one. Windows allows 30 per user.",
    )
    commands_per_shell: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="After so many commands a shell is replaced: Windows counts them and never forgets."
    )
    shell_idle_s: Annotated[float, Field(gt=0, le=86400)] = Field(
        default=30.0, description="After so long without use a shell is given back."
    )
    root: str = Field(
        default=r"%TEMP%\galaxy",
        min_length=1,
        description="Folder on the host that push and pull are confined to, and that a relative cwd is below; "
        "%VARIABLES% are replaced there. It is made when it is missing.",
    )
    allow_any_path: bool = Field(
        default=False, description="Whether push and pull also take absolute paths outside of root."
    )
    files_root: Path | None = Field(
        default=None,
        description="Folder of this machine that push may read from, beside files that tasks have left; "
        "default: that of the inventory, else the current one.",
    )
    # All are treated as secrets, because any of them may be one, and nobody needs to see the others in a log.
    env: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Environment variables for every command and script; a task's own win. They appear in no process list.",
    )
    powershell: Literal["powershell.exe", "pwsh.exe"] = Field(
        default="powershell.exe", description="Which PowerShell runs scripts: that of Windows, or PowerShell 7."
    )
    output_cap_bytes: Bytes = Field(
        default=1 << 20, description="How much of standard output, and of standard error, is kept in the result."
    )
    artifact_cap_bytes: Bytes = Field(
        default=64 << 20,
        description="How much of a stream that exceeds output_cap_bytes is kept in a file; 0 for no file.",
    )

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, text: str) -> str:
        return parse(text).url

    @field_validator("root")
    @classmethod
    def _root(cls, text: str) -> str:
        if any(ord(character) < 32 for character in text):
            raise ValueError("the root folder holds no control characters")
        return text

    @field_validator("env")
    @classmethod
    def _variables(cls, variables: dict[str, SecretStr]) -> dict[str, SecretStr]:
        quoting.environment({name: value.get_secret_value() for name, value in variables.items()})
        if len({name.upper() for name in variables}) < len(variables):
            raise ValueError("two variables differ in capital and small letters alone, which is one name to Windows")
        return variables

    @model_validator(mode="after")
    def _secure(self) -> WinrmSettings:
        if self.auth == "basic" and not self.where.is_encrypted:
            raise ValueError(
                "basic over http sends the password in clear: use an https endpoint, or auth ntlm or kerberos, which encrypt"
            )
        if self.auth == "basic" and self.encrypt == "always":
            raise ValueError("basic has no encryption of its own, so encrypt 'always' cannot be had with it")
        if self.auth != "kerberos" and self.password is None:
            raise ValueError(f"{self.auth} needs a password, by reference: password: {{env: NAME}}")
        if self.auth == "kerberos" and self.password is not None:
            raise ValueError("kerberos takes the ticket that kinit got, and no password")
        if self.kerberos_delegation and self.auth != "kerberos":
            raise ValueError("kerberos_delegation is for auth kerberos only")
        return self

    @property
    def where(self) -> Endpoint:
        """The endpoint, taken apart."""
        return parse(self.endpoint)
