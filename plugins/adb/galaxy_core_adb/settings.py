"""What an inventory may say of devices of this transport, and of where to look for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65_535)]
#: No control characters and no blanks; ";" means something else to adb.
Serial = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20\x7f;]{1,255}$")]
FarFolder = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_@%+,./-]*[A-Za-z0-9_-]$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Common(BaseModel):
    """What holds for one device as for all that are found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server_port: Port = Field(
        default=5037, description="Port of the adb server on this machine; each serves at most 250 devices."
    )
    start_server: bool = Field(
        default=True, description="Whether a server is started when none answers; it is left running, as adb does it."
    )
    adb: Path | None = Field(
        default=None,
        description="Program that a server is started with; default: that of ADBUTILS_ADB_PATH, adbutils' own, that of PATH.",
    )
    root: FarFolder = Field(
        default="/data/local/tmp/galaxy",
        description="Working folder of its tasks on the device, made if need be; files are put below it, and taken from there.",
    )
    allow_any_path: bool = Field(
        default=False, description="Whether push and pull may use absolute paths outside of `root`, too."
    )
    files_root: Path | None = Field(
        default=None,
        description="Folder of this machine that `push`, `install` and `files` may read from, beside files that tasks "
        "have left; default: that of the inventory, else the current one.",
    )
    output_cap_bytes: Bytes = Field(
        default=1 << 20, description="How much of standard output, and of standard error, is kept in the result."
    )
    artifact_cap_bytes: Bytes = Field(
        default=64 << 20,
        description="How much of a stream that exceeds output_cap_bytes, of a log or of a screenshot is kept in a file.",
    )
    kill_grace_s: Annotated[float, Field(ge=0, le=0.3)] = Field(
        default=0.2, description="Time between asking the processes of a stopped task to end and killing them."
    )
    connect_timeout_s: Annotated[Seconds, Field(le=29)] = Field(
        default=10.0, description="Time for connecting, until the device has answered a first command."
    )


class AdbSettings(_Common):
    """Settings of a device of transport `adb`. Only `serial` has to be given."""

    serial: Serial = Field(
        description="The device as `adb devices` lists it: a serial number, or HOST:PORT of one in the network."
    )
    connect: bool = Field(
        default=False,
        description="Whether it is a device in the network that adb has to be told to connect to (`adb connect`).",
    )
    # All are treated as secrets, because any of them may be one, and nobody needs to see the others in a log.
    env: dict[VariableName, SecretStr] = Field(
        default_factory=dict, description="Environment variables for every command; a task's own win over them."
    )


class AdbDiscovery(_Common):
    """Settings of an entry below `discover` of transport `adb`, and of the devices that it finds. All may be left out."""

    network: bool = Field(default=True, description="Whether devices in the network (HOST:PORT) are to be used, too.")
