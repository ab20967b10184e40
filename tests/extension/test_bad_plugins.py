"""What is wrong with a plugin is said by name, and nothing of such a plugin stays behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pydantic
import pytest

from galaxy_core.errors import (
    HookError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    UnknownJournalError,
    UnknownStrategyError,
    UnknownTransportError,
)
from galaxy_core.extension.hookimpls import CONTRIBUTING
from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.registry import PluginRegistry


class Strategy:
    def __init__(self, name: Any = "good") -> None:
        self.name = name

    def assign(self, placement: Any) -> dict[str, str]:
        return {}


class Transport:
    """A right one, of which each test spoils a part."""

    def __init__(self, **spoilt: Any) -> None:
        self.name: Any = "good"
        self.settings_model: Any = None
        self.requests: Any = frozenset({"run"})
        self.actions: Any = {}
        self.device_type: Any = None
        vars(self).update(spoilt)

    def open(self, device: Any, settings: Any) -> Any:
        raise ConnectionError


class Journal:
    name = "good"

    def open(self, run: Any) -> Any:
        raise OSError

    def reopen(self, run_id: str) -> Any:
        raise OSError

    def read(self, run_id: str) -> Any:
        raise OSError

    def runs(self) -> Any:
        return []


class Observer:
    async def on_event(self, event: Any) -> None:
        """Hear nothing."""


class Simulator:
    def __init__(self, name: Any = "good") -> None:
        self.name = name

    def simulate(self, count: int, folder: Any) -> Any:
        return None


GOOD: Mapping[str, Any] = dict(
    zip(CONTRIBUTING, (Strategy(), Transport(), Journal(), Observer(), Simulator()), strict=True)
)


def bare() -> PluginRegistry:
    """A registry that knows of no installed plugin."""
    return PluginRegistry(discover=False, entry_points=list)


def module_with(**attributes: Any) -> ModuleType:
    module = ModuleType("bad_plugin")
    vars(module).update(attributes)
    return module


def refused(plugin: object, name: str | None = None) -> PluginError:
    """The error of registering `plugin`, after which the registry is as it was."""
    registry = bare()
    kept = Strategy("kept")
    registry.register(kept, "kept")
    before = registry.describe()
    with pytest.raises(PluginError) as caught:
        registry.register(plugin, name)
    assert registry.describe() == before
    assert registry.problems == []
    assert registry.strategies == {"kept": kept}
    assert [*registry.transports, *registry.journals, *registry.observers] == []
    assert registry.implementations("galaxy_review_run") == ()
    return caught.value


# ------------------------------------------------------------------------------------------------------------- hooks


def test_a_misspelt_hook_names_the_plugin_the_hook_and_the_nearest_hook() -> None:
    @hookimpl
    def galaxy_strategys() -> Iterable[Strategy]:
        return [Strategy()]

    error = refused(module_with(galaxy_strategys=galaxy_strategys))
    assert isinstance(error, HookError)
    assert (error.plugin, error.hook) == ("bad_plugin", "galaxy_strategys")
    assert str(error) == (
        "hook 'galaxy_strategys' of plugin 'bad_plugin': there is no such hook; did you mean 'galaxy_strategies'?"
    )


def test_a_misspelt_hook_that_is_not_marked_is_an_error_too() -> None:
    error = refused(module_with(galaxy_review_runs=lambda run: None))
    assert "'galaxy_review_runs' of plugin 'bad_plugin': there is no such hook; did you mean 'galaxy_rev" in str(error)


def test_a_misspelt_specname_is_an_error() -> None:
    class Plugin:
        @hookimpl(specname="galaxy_strategie")
        def bring(self) -> Iterable[Strategy]:
            return [Strategy()]

    assert "did you mean 'galaxy_strategies'" in str(refused(Plugin()))


def test_a_marked_function_that_resembles_no_hook_is_an_error_that_lists_the_hooks() -> None:
    error = refused(module_with(setup=hookimpl(lambda: None)))
    assert "'setup' of plugin 'bad_plugin': there is no such hook; hooks are galaxy_strategies, " in str(error)


def test_a_hook_that_is_not_marked_says_what_to_do() -> None:
    error = refused(module_with(galaxy_strategies=lambda: [Strategy()]))
    assert "put @hookimpl of galaxy_core.extension.hookspecs above it" in str(error)


def test_an_imported_package_whose_name_begins_like_a_hook_is_no_hook() -> None:
    module = module_with(galaxy_core=ModuleType("galaxy_core"), galaxy_strategies=hookimpl(lambda: [Strategy()]))
    registry = bare()
    registry.register(module)
    assert list(registry.strategies) == ["good"]


@pytest.mark.parametrize(
    "mark", [hookimpl(wrapper=True), hookimpl(hookwrapper=True), hookimpl(wrapper=True, optionalhook=True)]
)
def test_a_wrapper_is_refused_with_the_reason(mark: Callable[[Any], Any]) -> None:
    def galaxy_review_run() -> Iterator[None]:
        yield

    error = refused(module_with(galaxy_review_run=mark(galaxy_review_run)))
    assert "the kernel itself calls and awaits" in str(error)


def test_an_argument_that_the_hook_does_not_offer_is_an_error() -> None:
    class Plugin:
        @hookimpl
        def galaxy_review_run(self, run: Any, plan: Any, devices: Any) -> None:
            return None

    error = refused(Plugin())
    assert "it wants plan, devices, but the hook takes run" in str(error)
    assert "the hook takes no arguments" in str(refused(module_with(galaxy_strategies=hookimpl(lambda run: []))))


@pytest.mark.parametrize("hook", CONTRIBUTING)
def test_a_contributing_hook_must_be_synchronous(hook: str) -> None:
    @hookimpl
    async def coroutine() -> list[Any]:
        return []

    @hookimpl
    async def generator() -> AsyncIterator[Any]:
        yield GOOD[hook]

    for function in (coroutine, generator):
        assert "is called synchronously; write it as `def`" in str(refused(module_with(**{hook: function})))


@pytest.mark.parametrize("hook", ["galaxy_review_run", "galaxy_run_finished"])
def test_a_deciding_or_observing_hook_must_not_be_a_generator(hook: str) -> None:
    @hookimpl
    def generator() -> Iterator[str]:
        yield "no"

    assert "it is a generator" in str(refused(module_with(**{hook: generator})))


@pytest.mark.parametrize("hook", CONTRIBUTING)
@pytest.mark.parametrize("error", [ValueError("a reason"), SystemExit("a reason"), HookError("x", "y", "a reason")])
def test_a_contributing_hook_that_raises_is_blamed(hook: str, error: BaseException) -> None:
    @hookimpl
    def raising() -> list[Any]:
        raise error

    caught = refused(module_with(**{hook: raising}))
    assert isinstance(caught, HookError)
    assert (caught.plugin, caught.hook, caught.__cause__) == ("bad_plugin", hook, error)
    assert "a reason" in str(caught)


@pytest.mark.parametrize("hook", CONTRIBUTING)
def test_a_contributing_hook_that_raises_half_way_leaves_nothing(hook: str) -> None:
    @hookimpl
    def half() -> Iterator[Any]:
        yield GOOD[hook]
        raise ZeroDivisionError

    assert "ZeroDivisionError" in str(refused(module_with(**{hook: half})))


def test_a_plugin_of_which_one_hook_is_bad_leaves_nothing_of_its_good_ones() -> None:
    class Plugin:
        @hookimpl
        def galaxy_strategies(self) -> Iterable[Strategy]:
            return [Strategy()]

        @hookimpl
        def galaxy_review_run(self) -> str:
            return "no"

        @hookimpl
        def galaxy_transports(self) -> Any:
            return None

    assert "it returned None" in str(refused(Plugin()))


def test_ctrl_c_is_not_taken_for_a_mistake_of_the_plugin() -> None:
    @hookimpl
    def interrupted() -> list[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bare().register(module_with(galaxy_strategies=interrupted))


def test_an_exception_that_cannot_even_be_printed_is_named_by_its_type() -> None:
    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @hookimpl
    def raising() -> list[Any]:
        raise UnspeakableError

    assert f"it raised UnspeakableError ({__file__}, line " in str(refused(module_with(galaxy_strategies=raising)))


def test_a_very_long_exception_is_cut() -> None:
    @hookimpl
    def raising() -> list[Any]:
        raise ValueError("x" * 1_000_000)

    assert len(str(refused(module_with(galaxy_strategies=raising)))) < 1000


# ----------------------------------------------------------------------------------------------------------- rubbish


@pytest.mark.parametrize("hook", CONTRIBUTING)
@pytest.mark.parametrize(
    ("rubbish", "why"),
    [
        (None, "it returned None; it must return an iterable of"),
        (42, "it returned an int"),
        ("good", "it returned a str"),
        ({"good": 1}, "it returned a dict"),
        ([None], "None is not a usable"),
        (["good"], "a str is not a usable"),
        ([object()], "an object is not a usable"),
        (count(), "it returned more than 1000"),
    ],
)
def test_a_hook_that_returns_rubbish_is_told_what_it_must_return(hook: str, rubbish: object, why: str) -> None:
    error = refused(module_with(**{hook: hookimpl(lambda: rubbish)}))
    assert isinstance(error, HookError)
    assert error.hook == hook
    assert why in str(error)


@pytest.mark.parametrize("hook", CONTRIBUTING)
def test_a_contribution_in_place_of_a_list_of_one_is_an_error(hook: str) -> None:
    assert "it must return an iterable of" in str(refused(module_with(**{hook: hookimpl(lambda: GOOD[hook])})))


@pytest.mark.parametrize("hook", CONTRIBUTING)
def test_a_class_in_place_of_an_instance_is_an_error(hook: str) -> None:
    error = refused(module_with(**{hook: hookimpl(lambda: [type(GOOD[hook])])}))
    assert "bring an instance of it" in str(error)


def test_a_coroutine_that_a_plain_function_returns_is_closed_and_refused() -> None:
    async def later() -> list[Any]:
        return []

    @hookimpl
    def galaxy_strategies() -> object:
        return later()

    assert "it returned a coroutine" in str(refused(module_with(galaxy_strategies=galaxy_strategies)))


@pytest.mark.parametrize("name", [None, "", 7, "two words", "1st", "naïve", "line\n", ["good"]], ids=repr)
def test_a_name_must_be_plain(name: Any) -> None:
    for candidate in (Strategy(name), Transport(name=name)):
        hook = "galaxy_strategies" if isinstance(candidate, Strategy) else "galaxy_transports"
        error = refused(module_with(**{hook: hookimpl(lambda: [candidate])}))  # noqa: B023 (called in this turn)
        assert f"the name is {name!r}" in str(error)


def test_a_plugin_that_brings_one_name_twice_is_an_error() -> None:
    error = refused(module_with(galaxy_strategies=hookimpl(lambda: [Strategy(), Strategy()])))
    assert "it brings two strategies of the name 'good'" in str(error)


def test_a_contribution_whose_attributes_raise_is_an_error() -> None:
    class Raising:
        @property
        def name(self) -> str:
            raise OSError("no name today")

        def assign(self, placement: Any) -> dict[str, str]:
            return {}

    error = refused(module_with(galaxy_strategies=hookimpl(lambda: [Raising()])))
    assert "a Raising cannot be examined: it raised OSError: no name today" in str(error)


async def _async_assign(placement: Any) -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("assign", None, "has no method 'assign'"),
        ("assign", {}, "its 'assign' is a dict; it must be a method"),
        ("assign", lambda *, placement: {}, "its 'assign' cannot be called with 1 positional argument"),
        ("assign", _async_assign, "its 'assign' is `async def`"),
        ("choose", lambda ready: [], "its 'choose' cannot be called with 2 positional arguments"),
    ],
)
def test_a_strategy_must_have_the_shape_of_its_protocol(part: str, value: Any, why: str) -> None:
    strategy = Strategy()
    setattr(strategy, part, value)
    assert why in str(refused(module_with(galaxy_strategies=hookimpl(lambda: [strategy]))))


class Settings(pydantic.BaseModel):
    """Nothing to set."""


async def _async_open(device: Any, settings: Any) -> None:
    """Forgot @asynccontextmanager."""


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"settings_model": Settings()}, "its settings_model is a Settings; it must be a pydantic model class"),
        ({"settings_model": dict}, "its settings_model is the class dict"),
        ({"requests": "run"}, "its requests are a str"),
        ({"requests": ["run"]}, "its requests are a list"),
        ({"requests": frozenset({"rum"})}, "kind 'rum'; did you mean 'run'?"),
        ({"actions": [Settings]}, "its actions are a list"),
        ({"actions": {"two words": Settings}}, "of an action, the name is 'two words'"),
        ({"actions": {"tap": None}}, "the model of its action 'tap' is None"),
        ({"device_type": "Linux"}, "its device_type is 'Linux'"),
        ({"device_type": 3}, "its device_type is 3"),
        ({"open": None}, "it has no method 'open'"),
        ({"open": lambda device: None}, "its 'open' cannot be called with 2 positional arguments"),
        ({"open": _async_open}, "put @asynccontextmanager above it"),
    ],
)
def test_a_transport_must_have_the_shape_of_its_protocol(spoilt: dict[str, Any], why: str) -> None:
    transport = Transport(**spoilt)
    assert why in str(refused(module_with(galaxy_transports=hookimpl(lambda: [transport]))))


@pytest.mark.parametrize("missing", ["settings_model", "requests", "actions", "device_type"])
def test_a_transport_must_have_every_attribute_of_its_protocol(missing: str) -> None:
    transport = Transport()
    delattr(transport, missing)
    error = refused(module_with(galaxy_transports=hookimpl(lambda: [transport])))
    assert f"it has no attribute '{missing}'" in str(error)


def test_a_transport_with_models_is_taken() -> None:
    registry = bare()
    transport = Transport(settings_model=Settings, actions={"tap": Settings}, device_type="android")
    registry.register(module_with(galaxy_transports=hookimpl(lambda: [transport])))
    assert registry.transport("good", "pixel") is transport


@pytest.mark.parametrize("method", ["on_event", "on_events"])
def test_an_observer_must_take_one_argument(method: str) -> None:
    observer = Observer()
    setattr(observer, method, lambda: None)
    error = refused(module_with(galaxy_observers=hookimpl(lambda: [observer])))
    assert f"its '{method}' cannot be called with 1 positional argument" in str(error)


# ----------------------------------------------------------------------------------------------------- plain objects


@pytest.mark.parametrize("nothing", [None, 3, "galaxy_core_local", Path("plugin.py"), object(), []])
def test_what_is_no_plugin_at_all_is_refused(nothing: Any) -> None:
    error = refused(nothing)
    assert isinstance(error, PluginLoadError)


def test_a_module_without_hooks_is_refused_whatever_it_contains() -> None:
    assert "it implements no hook" in str(refused(os))
    assert "it implements no hook" in str(refused(module_with(name="x", assign=lambda placement: {})))


@pytest.mark.parametrize("plugin", [Strategy, Transport, Observer])
def test_a_class_is_refused_as_a_plugin(plugin: type) -> None:
    assert f"{plugin.__name__} is a class; make an instance of it" in str(refused(plugin))


def test_a_plain_strategy_with_a_bad_name_is_refused() -> None:
    assert "not a usable strategy: the name is 'two words'" in str(refused(Strategy("two words")))


def test_an_object_whose_attributes_raise_is_refused() -> None:
    class Raising:
        @property
        def assign(self) -> Any:
            raise ZeroDivisionError

    class Unlisted:
        def __dir__(self) -> list[str]:
            raise ZeroDivisionError

    for plugin in (Raising(), Unlisted()):
        assert "ZeroDivisionError" in str(refused(plugin))


@pytest.mark.parametrize("name", ["", 7])
def test_a_plugin_needs_a_name(name: Any) -> None:
    assert "a plugin's name is a string that is not empty" in str(refused(Strategy(), name))


# --------------------------------------------------------------------------------------------------------- conflicts


def test_a_plugin_that_registers_twice_is_refused_the_second_time() -> None:
    registry = bare()
    plugin = Strategy()
    registry.register(plugin, "mine")
    with pytest.raises(PluginLoadError, match="it is registered already, as 'mine'"):
        registry.register(plugin, "yours")
    assert [info.name for info in registry.describe()] == ["mine"]


def test_two_plugins_of_one_name_are_an_error() -> None:
    registry = bare()
    registry.register(Strategy("a"), "mine")
    with pytest.raises(PluginConflictError, match="plugin name 'mine' is claimed"):
        registry.register(Strategy("b"), "mine")
    assert list(registry.strategies) == ["a"]


@pytest.mark.parametrize("method", ["open", "reopen", "read", "runs"])
def test_a_journal_that_lacks_a_method_is_refused_and_the_method_named(method: str) -> None:
    journal = Journal()
    setattr(journal, method, None)
    assert f"it has no method {method!r}" in str(refused(journal))


@pytest.mark.parametrize("make", [Strategy, Transport, Journal])
def test_a_taken_name_is_an_error_naming_both_and_the_first_keeps_it(make: Callable[[], Any]) -> None:
    registry = bare()
    registry.register(kept := make(), "ours")
    with pytest.raises(PluginConflictError) as caught:
        registry.register(make(), "theirs")
    assert (caught.value.name, caught.value.first, caught.value.second) == ("good", "ours", "theirs")
    assert [*registry.strategies.values(), *registry.transports.values(), *registry.journals.values()] == [kept]


def test_one_name_may_stand_for_a_strategy_a_transport_and_a_journal() -> None:
    registry = bare()
    plugins = [Strategy(), Transport(), Journal()]
    for plugin in plugins:
        registry.register(plugin)
    assert [registry.strategy("good"), registry.transport("good", "d"), registry.journal("good")] == plugins


# ------------------------------------------------------------------------------------------------------ unknown names


def test_an_unknown_name_is_an_error_that_offers_the_nearest_and_lists_all() -> None:
    registry = bare()
    for plugin in (Strategy("load_balance"), Strategy("alphabet"), Transport(name="local"), Journal()):
        registry.register(plugin)
    with pytest.raises(UnknownStrategyError, match=r"did you mean 'load_balance'.*'alphabet', 'load_balance'"):
        registry.strategy("loadbalance")
    with pytest.raises(UnknownTransportError, match=r"device 'here' wants transport 'lokal'.*did you mean 'local'"):
        registry.transport("lokal", "here")
    with pytest.raises(
        UnknownJournalError, match=r"no plugin brings journal 'goods'; did you mean 'good'.*available: 'good'"
    ) as info:
        registry.journal("goods")
    assert (info.value.name, info.value.near) == ("goods", ("good",))


def test_an_unknown_name_in_an_empty_registry_says_that_there_is_none() -> None:
    registry = bare()
    with pytest.raises(UnknownStrategyError, match="available: none"):
        registry.strategy("load_balance")
    with pytest.raises(UnknownTransportError, match="available: none"):
        registry.transport("local", "here")
    with pytest.raises(UnknownJournalError, match="available: none"):
        registry.journal("sqlite")
