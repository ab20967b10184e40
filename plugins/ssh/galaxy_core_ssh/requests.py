"""The requests of this transport's own; the same as those of every transport that moves files."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from galaxy_core.extension.adapter.names import no_way_up

Path = Annotated[str, Field(min_length=1, max_length=4096)]
#: A file of the host.
FarPath = Annotated[Path, AfterValidator(no_way_up)]


class Push(BaseModel):
    """Copy a file of this machine to the device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Path = Field(
        description="The file: one that a task has left, by reference, or a path below the inventory's folder (setting `files_root`)."
    )
    target: FarPath = Field(description="Where it goes: a path below the setting `root`. Folders on the way are made.")
    mode: str = Field(default="0644", pattern="^0?[0-7]{3}$", description="Its permissions, in octal digits.")


class Pull(BaseModel):
    """Copy a file of the device to where the run keeps files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: FarPath = Field(description="The file: a path below the setting `root`.")
    name: str = Field(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", description="What the run calls it: `file.NAME` refers to it."
    )
