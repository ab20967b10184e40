"""The requests of this transport's own, as plans may write them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

from galaxy_core.extension.adapter.names import no_way_up

#: Names of PowerShell parameters that need no escaping anywhere.
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SECRETS = {"env": re.compile(r"[A-Z_][A-Z0-9_]*"), "keyring": re.compile(r"[^/]+/.+")}

#: A file of the host.
FarPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(no_way_up)]


class PowerShell(BaseModel):
    """Run a PowerShell script. `parameters` reach its param() block as data: nothing is ever put into its text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    script: Annotated[str, Field(min_length=1)] = Field(description="The script's text, of any length.")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="Values for the names in the script's param() block; any JSON value."
    )

    @field_validator("parameters")
    @classmethod
    def _names(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in parameters.items():
            if not PARAMETER.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is not the name of a parameter: letters, digits and '_' only")
            if _means_a_secret(value):
                raise ValueError(
                    f"parameter {name!r} is a secret, and those do not stand in a plan: put it into the setting 'env' of "
                    "the device, in the inventory, and have the script read $env:NAME (what is meant as it is: as JSON in a "
                    "text, for ConvertFrom-Json)"
                )
        return parameters


def _means_a_secret(value: Any) -> bool:
    """Whether it is how inventories name a secret, and hardly anything else; {file: …} may well be meant as it is."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((key, name),) = value.items()
    shape = _SECRETS.get(key)
    return shape is not None and isinstance(name, str) and shape.fullmatch(name) is not None


class Push(BaseModel):
    """Copy a file of this machine to the host. What was there before is replaced only by the whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        min_length=1, description="A file below the setting `files_root`, or one that a task of this run has left."
    )
    target: FarPath = Field(description="Its name below the device's root folder.")
    mode: str | None = Field(
        default=None,
        pattern=r"^0?[0-7]{3}$",
        description="Permissions for hosts that have them; Windows has others, and keeps its own.",
    )


class Pull(BaseModel):
    """Copy a file of the host to where this run keeps files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: FarPath = Field(description="Its name below the device's root folder.")
    name: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^/\\\x00-\x1f\x7f]+$",
        description="What it is called among the files of the task.",
    )
