"""The first record of a run: what it was run with. And whether that is here now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import asdict, field, frozen

from galaxy_core.model.records.encode import FORMAT
from galaxy_core.model.records.unkept import restored

_TEXTS: Final = ("version", "run_id", "mark", "durability")


@frozen
class Header:
    """What a run was started with.

    `mark` is that of its first epoch, `at` in seconds since the epoch of clocks, `strategy` the name of the assignment
    strategy, None when there was none. `plugins` maps their names to their versions. `devices` are inventory documents,
    which refer to secrets and hold none. `source` is the plan's file: `{path, sha256}`. `requires` lists by "transports",
    "actions", "extensions" what the plan and its devices need. `folder` is the current one of that process, as an absolute
    path; None when it had none, or an older version wrote it.
    """

    version: str
    run_id: str
    mark: str
    at: float
    durability: str = "sync"
    strategy: str | None = None
    plugins: Mapping[str, str] = field(factory=dict)
    devices: Sequence[Mapping[str, Any]] = ()
    discoveries: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] = field(factory=dict)
    source: Mapping[str, str] | None = None
    requires: Mapping[str, Sequence[str]] = field(factory=dict)
    folder: str | None = None
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """As it stands in its record."""
        document = asdict(self, recurse=False)
        for name in ("plugins", "metadata", "requires"):
            document[name] = dict(document[name])
        document["requires"] = {name: sorted(needed) for name, needed in self.requires.items()}
        document["devices"], document["discoveries"] = list(self.devices), list(self.discoveries)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Header:
        """The inverse of `to_dict`; keys that it does not know are left out.

        Raises:
            ValueError: it is none.
        """
        for name in _TEXTS:
            if not isinstance(document.get(name, ""), str):
                raise ValueError(f"{name} of its header is no text")
        known = {name: document[name] for name in _KEYS if name in document}
        if missing := [name for name in ("version", "run_id", "mark", "at") if name not in known]:
            raise ValueError(f"its header has no {' and no '.join(missing)}")
        if not isinstance(known.get("folder"), str | None):
            raise ValueError("folder of its header is no text")
        if type(known["at"]) not in (int, float):
            raise ValueError("at of its header is no number")
        for name in ("metadata", "devices", "discoveries"):
            if name in known:
                known[name] = restored(known[name], lambda text: text.head)
        for name, kind in (("plugins", dict), ("metadata", dict), ("requires", dict), ("devices", list)):
            if not isinstance(known.get(name, kind()), kind):
                raise ValueError(f"{name} of its header is not what it has to be")
        return cls(**known)


_KEYS: Final = tuple(part.name for part in Header.__attrs_attrs__)


def unfit_plugins(recorded: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Why a run cannot go on with the plugins that are here: one sentence for each that is missing or of another major version.

    Both map names to versions. Before 1.0 the minor version counts as the major one.
    """
    reasons = []
    for name, version in sorted(recorded.items()):
        here = present.get(name)
        if here is None:
            reasons.append(f"plugin {name!r} ({version}) is not installed: install it")
        elif _series(here) != _series(version):
            reasons.append(
                f"plugin {name!r} was {version} and is {here}: install {name} {'.'.join(_series(version))}.*"
            )
    return reasons


def _series(version: str) -> tuple[str, ...]:
    parts = version.split(".")
    return tuple(parts[:2]) if parts[0] == "0" else (parts[0],)
