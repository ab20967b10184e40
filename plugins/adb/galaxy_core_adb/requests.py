"""The actions of this transport, and what they take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from galaxy_core.extension.adapter.names import no_way_up

Pixel = Annotated[int, Field(ge=0, le=100_000)]
Path = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
#: A file of the device.
FarPath = Annotated[Path, AfterValidator(no_way_up)]
#: One plain path component, as a run's files are called.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")]
Package = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*(\.[A-Za-z]\w*)+$", max_length=255)]
Component = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z]\w*(\.[A-Za-z]\w*)+/\.?[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)*$", max_length=500),
]
Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=10_000)]
ExtraName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=255)]


class Arguments(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Push(Arguments):
    """Send a file to the device. Whole or not at all: an old file of that name stays until the new one is proved equal."""

    source: Path = Field(
        description="File of this machine: below `files_root`, or one that a task of the run has left."
    )
    target: FarPath = Field(description="Where it goes, below `root`; folders on the way are made.")
    mode: Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3}$")] = Field(
        default="0644", description="Its permissions, in octal."
    )


class Pull(Arguments):
    """Take a file from the device."""

    path: FarPath = Field(description="Which file, below `root`.")
    name: FileName = Field(description="What it is called among the files of the result.")


class Install(Arguments):
    """Install an app."""

    apk: Path = Field(description="The APK, as `source` of push.")
    replace: bool = Field(default=True, description="Whether it may replace the same app, whose data stays.")
    grant: bool = Field(default=False, description="Whether it gets all permissions that it asks for.")


class Uninstall(Arguments):
    """Remove an app."""

    package: Package = Field(description="Its name, such as org.example.app.")
    keep_data: bool = Field(default=False, description="Whether its data and caches stay.")


class StartActivity(Arguments):
    """Start an activity of an app."""

    component: Component = Field(description="PACKAGE/CLASS, such as org.example.app/.MainActivity.")
    action: ExtraName | None = Field(
        default=None, description="Action of the intent, such as android.intent.action.VIEW."
    )
    data: Word | None = Field(default=None, description="Data of the intent, a URI.")
    extras: dict[ExtraName, str | int | bool] = Field(default_factory=dict, description="Extras of the intent.")
    wait: bool = Field(default=True, description="Whether to wait until it is shown.")


class Tap(Arguments):
    """Tap on the screen."""

    x: Pixel = Field(description="Pixels from the left.")
    y: Pixel = Field(description="Pixels from the top.")


class Swipe(Arguments):
    """Swipe over the screen."""

    x1: Pixel = Field(description="Where it begins: pixels from the left.")
    y1: Pixel = Field(description="Where it begins: pixels from the top.")
    x2: Pixel = Field(description="Where it ends: pixels from the left.")
    y2: Pixel = Field(description="Where it ends: pixels from the top.")
    duration_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(default=300, description="How long it takes.")


class Text(Arguments):
    """Type text, where the cursor is."""

    text: Annotated[str, StringConstraints(pattern=r"^[ -~]+$", max_length=10_000)] = Field(
        description="Letters, digits and signs of ASCII: Android's input command types no others. A new line is a key."
    )


class Key(Arguments):
    """Press a key."""

    key: (
        Annotated[str, StringConstraints(pattern=r"^KEYCODE_[A-Z0-9_]+$", max_length=100)]
        | Annotated[int, Field(ge=0, le=10_000)]
    ) = Field(description="Its name, such as KEYCODE_HOME, or its number.")


class Screenshot(Arguments):
    """Take a picture of the screen, as PNG."""

    name: FileName = Field(default="screen.png", description="What it is called among the files of the result.")


class Logcat(Arguments):
    """Take what is in the device's log."""

    lines: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="How many of the last lines; default: 1000, unless `since` says something."
    )
    since: Annotated[str, StringConstraints(pattern=r"^(\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}$")] | None = Field(
        default=None, description="From when on, by the device's clock: MM-DD hh:mm:ss.mmm."
    )
    filters: list[Annotated[str, StringConstraints(pattern=r"^[\w.*-]+(:[VDIWEFS])?$", max_length=100)]] = Field(
        default_factory=list, description="Which messages, such as ActivityManager:I and *:S."
    )
    name: FileName = Field(default="logcat.txt", description="What it is called among the files of the result.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Logcat:
        if self.lines is not None and self.since is not None:
            raise ValueError("give `lines` or `since`, not both")
        return self


class Reboot(Arguments):
    """Restart the device."""

    mode: Literal["system", "bootloader", "recovery"] = Field(default="system", description="What it starts into.")
    wait: bool = Field(default=True, description="Whether to wait until it is back and has booted (mode system only).")


class Forward(Arguments):
    """Lead a port of this machine to the device, until its session ends. The value is the port."""

    remote: Annotated[
        str, StringConstraints(pattern=r"^(tcp:[1-9]\d{0,4}|local(abstract|reserved|filesystem)?:[\w./@:-]{1,100})$")
    ] = Field(description="Where it leads: tcp:PORT, or localabstract:NAME of a Unix socket.")
    local_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=0, description="Port of this machine; 0: one that is free."
    )


class Battery(Arguments):
    """Read the battery. The value has `level` in percent, `status`, `plugged`, `temperature_c` and more."""


ACTIONS: dict[str, type[Arguments]] = {
    "push": Push,
    "pull": Pull,
    "install": Install,
    "uninstall": Uninstall,
    "start_activity": StartActivity,
    "tap": Tap,
    "swipe": Swipe,
    "text": Text,
    "key": Key,
    "screenshot": Screenshot,
    "logcat": Logcat,
    "reboot": Reboot,
    "forward": Forward,
    "battery": Battery,
}
