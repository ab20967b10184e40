"""Which simulated devices are meant, and what brings those that are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from galaxy_core import PluginInfo, PluginRegistry
from galaxy_core.errors import PluginConflictError, nearest
from galaxy_core.errors.root import hint
from galaxy_core.extension.interfaces import Simulator
from galaxy_core_cli import say

#: This machine, which needs no simulator.
HERE: Final = "here"
ALL: Final = "all"
#: What to install for the kinds of this project.
BROUGHT_BY: Final[Mapping[str, str]] = {
    "phone": "galaxy-core-adb",
    "ssh": "galaxy-core-ssh",
    "windows": "galaxy-core-winrm[simulate]",
}
#: Other words for them.
_MEANT: Final[Mapping[str, str]] = {
    "adb": "phone",
    "android": "phone",
    "linux": "ssh",
    "sshd": "ssh",
    "win": "windows",
    "winrm": "windows",
}


@frozen
class Chosen:
    """One kind of device that is to be there; without a simulator it is this machine."""

    name: str
    simulator: Simulator | None = None


def chosen(kinds: Sequence[str], registry: PluginRegistry) -> list[Chosen]:
    """What is meant by these words, each once, in their order; this machine comes last of `all`.

    Raises:
        WrongValueError: no plugin simulates such a device; the message says what would.
        PluginConflictError: several plugins do.
    """
    simulators = registry.simulators
    if ALL in kinds:
        if not simulators:
            raise say.WrongValueError(f"no plugin that is installed simulates anything; {_to_install(BROUGHT_BY)}")
        return [*(Chosen(name, one) for name, one in simulators.items()), Chosen(HERE)]
    for kind in kinds:
        if kind not in simulators and kind != HERE:
            raise _unknown(kind, registry)
    return [Chosen(kind, None if kind == HERE else simulators[kind]) for kind in dict.fromkeys(kinds)]


def _unknown(kind: str, registry: PluginRegistry) -> Exception:
    for problem in registry.problems:
        if isinstance(problem, PluginConflictError) and (problem.kind, problem.name) == ("simulator", kind):
            return problem
    known = sorted({*registry.simulators, HERE, ALL})
    if kind in BROUGHT_BY:
        distribution = BROUGHT_BY[kind].partition("[")[0]
        mine = [one for one in registry.describe() if one.distribution == distribution]
        why = _absence(mine[0], BROUGHT_BY[kind]) if mine else installing(kind)
        return say.WrongValueError(f"no plugin that is loaded simulates {kind!r}: {why}; there are {', '.join(known)}")
    near = [_MEANT[kind]] if kind in _MEANT else nearest(kind, {*known, *BROUGHT_BY})
    absent = "".join(f"; {_to_install([name])}" for name in near if name in BROUGHT_BY and name not in known)
    return say.WrongValueError(f"no plugin simulates {kind!r}{hint(near)}; there are {', '.join(known)}{absent}")


def _absence(info: PluginInfo, brought_by: str) -> str:
    """Why a plugin that is installed does not bring what it should."""
    if info.status == "loaded":
        return f"{info.distribution} {info.version} brings none; pip install -U '{brought_by}'"
    why = f": {info.problem}" if info.problem and info.status != "blocked" else ""
    return f"{info.distribution} is installed, but {info.status}{why}"


def installing(kind: str) -> str:
    """What brings a kind of this project, from an index or from a clone."""
    brought_by = BROUGHT_BY[kind]
    return f"pip install '{brought_by}' (in a clone: './plugins/{brought_by.removeprefix('galaxy-core-')}')"


def _to_install(names: Sequence[str] | Mapping[str, str]) -> str:
    return "; ".join(f"{installing(name)} brings {name}" for name in names)
