"""Installed plugins: found by their metadata, loaded one by one, described, blocked."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from galaxy_core.errors import (
    HookError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    UnknownStrategyError,
    UnknownTransportError,
)
from galaxy_core.extension import discovery
from galaxy_core.extension.discovery import InstalledPlugin
from galaxy_core.extension.registry import PluginInfo, PluginRegistry

if TYPE_CHECKING:
    from tests.extension.conftest import Site


def strategies(*names: str) -> str:
    """The source of a plugin that brings strategies of these names."""
    return f"""
from galaxy_core.extension.hookspecs import hookimpl

class Strategy:
    def __init__(self, name):
        self.name = name

    def assign(self, placement):
        return {{}}

@hookimpl
def galaxy_strategies():
    return [Strategy(name) for name in {names!r}]
"""


def status_of(registry: PluginRegistry) -> dict[str, str]:
    return {info.name: info.status for info in registry.describe()}


def info_of(registry: PluginRegistry, name: str) -> PluginInfo:
    [info] = [info for info in registry.describe() if info.name == name]
    return info


def test_an_installed_plugin_is_found_by_its_metadata(site: Site) -> None:
    site.install("acme-plans", version="2.1", plans=strategies("acme"))
    registry = site.registry()
    assert registry.strategy("acme").name == "acme"
    assert registry.problems == []
    assert registry.describe() == [
        PluginInfo(
            name="plans",
            distribution="acme-plans",
            version="2.1",
            module="acme_plans_plans",
            status="loaded",
            hooks=("galaxy_strategies",),
            strategies=("acme",),
        )
    ]


def test_an_entry_point_may_lead_to_an_object(site: Site) -> None:
    site.module("acme_objects", strategies() + "plain = Strategy('plain')\n")
    site.announce("acme", "[galaxy_core]\nplain = acme_objects:plain\n")
    registry = site.registry()
    assert list(registry.strategies) == ["plain"]
    assert info_of(registry, "plain").module == "acme_objects:plain"


def test_nothing_is_imported_before_it_is_needed_and_describing_imports_nothing(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    registry = site.registry()
    assert status_of(registry) == {"plans": "not loaded"}
    assert not site.imported("acme_plans")
    assert info_of(registry, "plans").distribution == "acme"
    assert list(registry.strategies) == ["acme"]
    assert status_of(registry) == {"plans": "loaded"}


@pytest.mark.parametrize(
    "need",
    [
        lambda registry: registry.strategies,
        lambda registry: registry.transports,
        lambda registry: registry.journals,
        lambda registry: registry.observers,
        lambda registry: registry.problems,
        lambda registry: registry.implementations("galaxy_review_run"),
        lambda registry: registry.load(),
        lambda registry: registry.strategy("acme"),
    ],
)
def test_the_first_need_of_anything_loads_what_is_installed(site: Site, need: Any) -> None:
    site.install("acme", plans=strategies("acme"))
    registry = site.registry()
    need(registry)
    assert status_of(registry) == {"plans": "loaded"}


def test_metadata_is_read_once(site: Site) -> None:
    asked: list[None] = []

    def entry_points() -> list[EntryPoint]:
        asked.append(None)
        return site.entry_points()

    site.install("acme", plans=strategies("acme"))
    registry = PluginRegistry(entry_points=entry_points)
    assert asked == []
    registry.describe()
    registry.load()
    registry.load()
    assert asked == [None]


def test_without_discovery_installed_plugins_are_listed_but_left_alone(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    registry = PluginRegistry(discover=False, entry_points=site.entry_points)
    with pytest.raises(UnknownStrategyError):
        registry.strategy("acme")
    assert registry.problems == []
    assert status_of(registry) == {"plans": "not loaded"}
    assert not site.imported("acme_plans")


# --------------------------------------------------------------------------------------------------- broken plugins

BROKEN = {
    "needs what is not there": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "is not python": ("this is no python", "SyntaxError"),
    "raises": ("raise OSError('no licence')", "OSError: no licence"),
    "exits": ("import sys; sys.exit(3)", "it called sys.exit(3)"),
    "recurses": ("def f(): f()\nf()", "RecursionError"),
    "has no hooks": ("answer = 42", "it implements no hook"),
    "misspells a hook": ("def galaxy_strategy(): return []", "did you mean 'galaxy_strategies'"),
    "raises in a hook": (strategies() + "galaxy_strategies.__code__ = (lambda: 1 / 0).__code__", "ZeroDivisionError"),
    "exits in a hook": (strategies() + "galaxy_strategies.__code__ = (lambda: exit(4)).__code__", "sys.exit(4)"),
    "returns rubbish": (strategies("two words"), "the name is 'two words'"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_plugin_that_is_broken_is_reported_and_harms_no_other(
    site: Site, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    source, why = BROKEN[how]
    site.install("acme-a", before=strategies("before"))
    site.install("acme-b", broken=source)
    site.install("acme-c", later=strategies("later"))
    registry = site.registry()
    assert list(registry.strategies) == ["before", "later"]
    [problem] = registry.problems
    assert isinstance(problem, PluginError)
    assert problem.plugin == "broken"
    assert why in str(problem)
    assert [record.getMessage() for record in caplog.records] == [str(problem)]
    assert status_of(registry) == {"before": "loaded", "broken": "failed", "later": "loaded"}
    assert info_of(registry, "broken").problem == str(problem)
    assert info_of(registry, "broken").distribution == "acme-b"


def test_a_plugin_that_cannot_be_imported_is_named_with_its_distribution_and_the_cause_is_chained(site: Site) -> None:
    site.install("acme", broken="raise OSError('no licence')")
    [problem] = site.registry().problems
    assert isinstance(problem, PluginLoadError)
    assert (problem.plugin, problem.distribution) == ("broken", "acme")
    assert isinstance(problem.__cause__, OSError)
    where = f"({site.folder / 'acme_broken.py'}, line 1)"
    assert str(problem) == (
        f"plugin 'broken' of distribution 'acme' could not be loaded: importing acme_broken: OSError: no licence {where}. "
        "Repair or uninstall it, or block it by name."
    )


@pytest.mark.parametrize("value", ["no_such_module", "os:no_such_object", "", "two words", "os:path:join"])
def test_an_entry_point_that_leads_nowhere_is_reported(value: str) -> None:
    registry = PluginRegistry(entry_points=lambda: [EntryPoint("lost", value, "galaxy_core")])
    [problem] = registry.problems
    assert isinstance(problem, PluginLoadError)
    assert problem.plugin == "lost"
    assert problem.distribution is None


def test_ctrl_c_during_an_import_goes_through_and_the_rest_is_loaded_afterwards(site: Site) -> None:
    site.install("acme-a", first="raise KeyboardInterrupt")
    site.install("acme-b", second=strategies("second"))
    registry = site.registry()
    with pytest.raises(KeyboardInterrupt):
        registry.load()
    assert list(registry.strategies) == ["second"]
    assert status_of(registry) == {"first": "not loaded", "second": "loaded"}


def test_two_entry_points_that_lead_to_one_module_load_it_once(site: Site) -> None:
    site.module("acme_shared", strategies("acme"))
    site.announce("acme", "[galaxy_core]\na = acme_shared\nb = acme_shared\n")
    registry = site.registry()
    assert list(registry.strategies) == ["acme"]
    assert [str(problem) for problem in registry.problems if "it is registered already, as 'a'" in str(problem)]


def test_a_source_of_entry_points_that_raises_is_reported(site: Site) -> None:
    def entry_points() -> list[EntryPoint]:
        raise OSError("disk gone")

    [problem] = PluginRegistry(entry_points=entry_points).problems
    assert "the list of entry points cannot be read: OSError: disk gone" in str(problem)


def test_a_distribution_whose_entry_points_cannot_be_read_hides_no_other_plugin(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    site.install("acme", plans=strategies("acme"))
    site.announce("garbled", "[galaxy_core]\nthis line has no equals sign\n")
    registry = PluginRegistry()
    assert list(registry.strategies) == ["acme"]
    [problem] = registry.problems
    assert isinstance(problem, PluginLoadError)
    assert problem.distribution == "garbled"


def test_a_distribution_without_a_name_has_plugins_that_work(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    [metadata] = site.folder.glob("*.dist-info/METADATA")
    metadata.unlink()
    registry = site.registry()
    assert list(registry.strategies) == ["acme"]
    assert info_of(registry, "plans").distribution is None


# ---------------------------------------------------------------------------------------------------------- conflicts


def test_a_name_that_two_plugins_claim_is_used_by_neither_and_the_error_names_both(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("acme", plans=strategies("shared", "acme-only"))
    site.install("zeta", zoo=strategies("shared", "zeta-only"))
    site.install(
        "zulu", zulu="from galaxy_core.extension.hookspecs import hookimpl\n@hookimpl\ndef galaxy_journals(): return []"
    )
    registry = site.registry()
    with pytest.raises(PluginConflictError) as caught:
        registry.strategy("shared")
    assert (caught.value.kind, caught.value.first, caught.value.second) == ("strategy", "plans", "zoo")
    assert list(registry.strategies) == ["acme-only", "zeta-only"]
    assert [str(problem) for problem in registry.problems] == [str(caught.value)]
    assert [info.problem for info in registry.describe()] == [str(caught.value), str(caught.value), None]
    assert [record.getMessage() for record in caplog.records] == [str(caught.value)]


def test_blocking_one_of_two_settles_their_conflict(site: Site) -> None:
    site.install("acme", plans=strategies("shared"))
    site.install("zeta", zoo=strategies("shared", "zeta-only"))
    registry = site.registry()
    assert len(registry.problems) == 1
    registry.block("zeta")
    assert list(registry.strategies) == ["shared"]
    assert registry.problems == []
    assert status_of(registry) == {"plans": "loaded", "zoo": "blocked"}


def test_a_passed_plugin_and_an_installed_one_may_claim_one_name_too(site: Site) -> None:
    class Mine:
        name = "shared"

        def assign(self, placement: Any) -> dict[str, str]:
            return {}

    site.install("acme", plans=strategies("shared"))
    registry = site.registry()
    registry.register(Mine(), "mine")
    with pytest.raises(PluginConflictError, match="'mine' and by plugin 'plans'"):
        registry.strategy("shared")
    registry.block("plans")
    assert isinstance(registry.strategy("shared"), Mine)


def test_a_passed_plugin_that_claims_the_name_of_a_loaded_one_is_refused(site: Site) -> None:
    site.install("acme", plans=strategies("shared"))
    registry = site.registry()
    registry.load()
    module = sys.modules["acme_plans"]
    with pytest.raises(PluginConflictError, match="'plans' and by plugin 'mine'"):
        registry.register(module.Strategy("shared"), "mine")
    assert registry.strategy("shared").name == "shared"


def test_plugins_of_one_name_from_two_distributions_are_both_loaded(site: Site) -> None:
    site.install("Acme_Plans", plans=strategies("a"))
    site.install("zeta", plans=strategies("z"))
    registry = site.registry()
    assert list(registry.strategies) == ["a", "z"]
    assert [(info.name, info.distribution) for info in registry.describe()] == [
        ("plans", "Acme_Plans"),
        ("zeta:plans", "zeta"),
    ]


def test_a_passed_plugin_keeps_its_name_before_an_installed_one(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    registry = site.registry()
    site.module("host_plugin", strategies("host"))
    registry.register(__import__("host_plugin"), "plans")
    assert list(registry.strategies) == ["host"]
    assert {(info.name, info.status) for info in registry.describe()} == {("plans", "failed"), ("plans", "loaded")}
    assert "'host_plugin' and by plugin 'acme'" in str(registry.problems[0])


# ----------------------------------------------------------------------------------------------- blocking, allowing


@pytest.mark.parametrize("name", ["plans", "acme-plans", "Acme.Plans", "acme_plans", "acme-plans:plans"])
def test_a_blocked_plugin_is_not_even_imported(site: Site, name: str) -> None:
    site.install("acme-plans", plans=strategies("acme"))
    site.install("zeta", zoo=strategies("zeta"))
    registry = site.registry(blocked=[name])
    assert list(registry.strategies) == ["zeta"]
    assert not site.imported("acme_plans_plans")
    assert status_of(registry) == {"plans": "blocked", "zoo": "loaded"}
    assert info_of(registry, "plans").problem == "it is blocked"
    assert info_of(registry, "plans").version == "1.0"


def test_one_plugin_of_a_distribution_can_be_blocked(site: Site) -> None:
    site.install("acme", one=strategies("one"), two=strategies("two"))
    assert list(site.registry(blocked="acme:one").strategies) == ["two"]
    assert list(site.registry(blocked=["zeta:one"]).strategies) == ["one", "two"]


def test_a_plugin_that_is_blocked_later_is_taken_out(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    registry = site.registry()
    assert list(registry.strategies) == ["acme"]
    registry.block("plans")
    assert list(registry.strategies) == []
    assert status_of(registry) == {"plans": "blocked"}


def test_a_broken_plugin_that_is_blocked_is_no_problem_any_more(site: Site) -> None:
    site.install("acme", broken="1 / 0")
    registry = site.registry()
    assert len(registry.problems) == 1
    registry.block("broken")
    assert registry.problems == []
    assert status_of(registry) == {"broken": "blocked"}


def test_a_plugin_that_is_passed_under_a_blocked_name_is_left_out(site: Site) -> None:
    site.module("host_plugin", strategies("host"))
    registry = site.registry(blocked=["host_plugin"])
    assert registry.register(__import__("host_plugin")) == "host_plugin"
    assert dict(registry.strategies) == {}
    assert status_of(registry) == {"host_plugin": "blocked"}


def test_a_passed_plugin_can_be_blocked_afterwards(site: Site) -> None:
    site.module("host_plugin", strategies("host"))
    registry = site.registry()
    registry.register(__import__("host_plugin"))
    registry.block("host_plugin")
    assert dict(registry.strategies) == {}
    assert registry.implementations("galaxy_strategies") == ()
    assert status_of(registry) == {"host_plugin": "blocked"}


def test_with_a_list_of_allowed_plugins_no_other_is_imported(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    site.install("zeta", zoo=strategies("zeta"))
    registry = site.registry(allowed=["zeta"])
    assert list(registry.strategies) == ["zeta"]
    assert not site.imported("acme_plans")
    assert status_of(registry) == {"plans": "blocked", "zoo": "loaded"}
    assert info_of(registry, "plans").problem == "it is not among the plugins that are allowed"


def test_blocking_wins_over_allowing(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    assert dict(site.registry(allowed=["plans"], blocked=["acme"]).strategies) == {}


def test_an_empty_list_of_allowed_plugins_concerns_installed_ones_alone(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    site.module("host_plugin", strategies("host"))
    registry = site.registry(allowed=[])
    registry.register(__import__("host_plugin"))
    assert list(registry.strategies) == ["host"]


def test_a_blocked_name_that_nobody_has_is_warned_of(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", plans=strategies("acme"))
    site.registry(blocked=["planz"]).load()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == ("asked to block plugin 'planz', but no plugin is called that; did you mean 'plans'?")


# ------------------------------------------------------------------------------------------------- several registries


def test_two_registries_do_not_see_each_others_plugins(site: Site) -> None:
    site.module("host_plugin", strategies("host"))
    one, other = site.registry(), site.registry()
    one.register(__import__("host_plugin"))
    assert list(one.strategies) == ["host"]
    assert dict(other.strategies) == {}
    assert other.implementations("galaxy_strategies") == ()
    assert other.describe() == []


def test_blocking_in_one_registry_does_not_concern_another(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    one, other = site.registry(), site.registry()
    one.load()
    other.load()
    one.block("plans")
    assert dict(one.strategies) == {}
    assert list(other.strategies) == ["acme"]
    assert one.strategies != other.strategies


def test_each_registry_gets_contributions_of_its_own(site: Site) -> None:
    site.install("acme", plans=strategies("acme"))
    assert site.registry().strategy("acme") is not site.registry().strategy("acme")


# -------------------------------------------------------------------------------------------------- in a new process


def python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_distribution_on_the_path_of_a_new_process_is_found_beside_what_is_installed(site: Site) -> None:
    site.install("acme-plans", plans=strategies("acme"))
    site.install("acme-trap", trap="import sys; sys.exit('trapped')")
    code = """if True:
        from galaxy_core.extension.registry import PluginRegistry
        registry = PluginRegistry(allowed=["acme-plans", "acme-trap"])
        print(registry.strategy("acme").name, [problem.plugin for problem in registry.problems])
    """
    assert python(code, site.folder) == "acme ['trap']\n"


def test_importing_the_registry_loads_neither_pydantic_nor_the_reader_of_metadata(tmp_path: Path) -> None:
    code = """if True:
        import sys
        before = set(sys.modules)
        import galaxy_core.extension.registry
        print(sorted({"pydantic", "yaml", "jmespath", "importlib.metadata"} & (set(sys.modules) - before)))
    """
    assert python(code, tmp_path) == "[]\n"


def test_an_error_of_a_hook_of_an_installed_plugin_names_hook_and_plugin(site: Site) -> None:
    site.install("acme", plans=strategies("acme") + "galaxy_strategies.__code__ = (lambda: None).__code__")
    [problem] = site.registry().problems
    assert isinstance(problem, HookError)
    assert (problem.plugin, problem.hook) == ("plans", "galaxy_strategies")


class Told(logging.Handler):
    """Keeps what is logged, and lets a plugin of a test go on once something was."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.at_last = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.at_last.set()


def test_a_plugin_that_takes_long_is_told_of_while_it_is_being_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    logger = logging.getLogger(discovery.__name__)
    monkeypatch.setattr(discovery, "SLOW_S", 0.01)
    monkeypatch.setattr(site, "told", told.at_last, raising=False)
    monkeypatch.setitem(sys.modules, "told_at_last", site)
    waiting = "import told_at_last\nassert told_at_last.told.wait(60), 'nobody was told'\n"
    site.install("acme-slow", plans=waiting + strategies("acme"))
    logger.addHandler(told)
    try:
        registry = site.registry()
        assert registry.strategy("acme").name == "acme"
    finally:
        logger.removeHandler(told)
    [text] = told.texts
    assert text == (
        "plugin 'plans' of distribution 'acme-slow' is still being loaded after 0.01 s (acme_slow_plans), and nothing goes "
        "on before that is done; to do without it, block it: 'plans'"
    )


def test_the_host_can_watch_how_each_plugin_is_loaded_instead(site: Site) -> None:
    site.install("acme-good", good=strategies("good"))
    site.install("acme-bad", bad="import sys\nsys.exit(1)\n")
    site.install("acme-not", unwanted=strategies("unwanted"))
    seen = []

    @contextmanager
    def watch(plugin: InstalledPlugin) -> Iterator[None]:
        seen.append(f"{plugin.title} begins")
        try:
            yield
        finally:
            seen.append(f"{plugin.title} ends, {site.imported('acme_good_good')}")

    registry = PluginRegistry(entry_points=site.entry_points, blocked=["unwanted"], watch=watch)
    assert seen == []
    assert list(registry.strategies) == ["good"]
    assert seen == [
        "plugin 'bad' of distribution 'acme-bad' begins",
        "plugin 'bad' of distribution 'acme-bad' ends, False",
        "plugin 'good' of distribution 'acme-good' begins",
        "plugin 'good' of distribution 'acme-good' ends, True",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lost", "A plugin of that name is installed, but is broken: importing acme_lost: OSError: no licence ("),
        ("other", "Install the plugin that brings it, or repair it: installed but broken are 'lost', or pass"),
    ],
)
def test_a_strategy_that_a_broken_plugin_may_bring_is_told_as_such(site: Site, name: str, told: str) -> None:
    site.install("acme", lost="raise OSError('no licence')")
    with pytest.raises(UnknownStrategyError) as caught:
        site.registry().strategy(name)
    assert list(caught.value.failed) == ["lost"]
    assert told in str(caught.value)
    with pytest.raises(UnknownTransportError) as missing:
        site.registry().transport(name, "d1")
    assert told.removesuffix(", or pass") in str(missing.value)
