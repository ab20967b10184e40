"""What each hook is for, and how its implementations are found, ordered and called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any

import pytest

from galaxy_core.errors import HookError, PluginLoadError
from galaxy_core.extension import hookspecs
from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import JournalWriter, Placement, RunInfo, Session
from galaxy_core.extension.registry import PluginRegistry

RUN = RunInfo(constellation_id="c1", name="nightly", tasks=(), assignments={}, metadata={})


class First:
    def __init__(self, name: str = "first") -> None:
        self.name = name

    def assign(self, placement: Placement) -> Mapping[str, str]:
        return {task.task_id: task.fitting[0] for task in placement.tasks}


class Radio:
    name = "radio"
    settings_model = None
    requests = frozenset({"run", "shell"})
    actions: Mapping[str, Any] = {}
    device_type: str | None = "linux"

    def open(self, device: Any, settings: Any) -> AbstractAsyncContextManager[Session]:
        raise ConnectionError("out of range")


class Diary:
    name = "diary"

    def open(self, run: RunInfo) -> AbstractAsyncContextManager[JournalWriter]:
        raise OSError("disk full")

    def reopen(self, run_id: str) -> AbstractAsyncContextManager[JournalWriter]:
        raise OSError("disk full")

    def read(self, run_id: str) -> Sequence[str]:
        return []

    def runs(self) -> Sequence[str]:
        return []


class Ear:
    async def on_event(self, event: Any) -> None:
        """Hear nothing."""


def bare() -> PluginRegistry:
    """A registry that knows of no installed plugin."""
    return PluginRegistry(discover=False, entry_points=list)


def registry_with(*plugins: object) -> PluginRegistry:
    registry = bare()
    for plugin in plugins:
        registry.register(plugin)
    return registry


def test_galaxy_strategies_contributes_strategies() -> None:
    class Plugin:
        @hookimpl
        def galaxy_strategies(self) -> Iterable[First]:
            return [First("near"), First("far")]

    registry = registry_with(Plugin())
    assert list(registry.strategies) == ["far", "near"]
    assert registry.strategy("near") is registry.strategies["near"]


def test_galaxy_transports_contributes_transports() -> None:
    radio = Radio()

    class Plugin:
        @hookimpl
        def galaxy_transports(self) -> Iterable[Radio]:
            return (radio,)

    registry = registry_with(Plugin())
    assert registry.transport("radio", "device-1") is radio
    assert dict(registry.transports) == {"radio": radio}


def test_galaxy_journals_contributes_journals() -> None:
    class Plugin:
        @hookimpl
        def galaxy_journals(self) -> Iterator[Diary]:
            yield Diary()

    registry = registry_with(Plugin())
    assert registry.journal("diary").name == "diary"
    assert list(registry.journals) == ["diary"]


def test_galaxy_observers_contributes_observers_in_the_order_of_registration() -> None:
    ears = [Ear(), Ear(), Ear()]

    class Plugin:
        def __init__(self, *observers: Ear) -> None:
            self.observers = observers

        @hookimpl
        def galaxy_observers(self) -> Iterable[Ear]:
            return {id(observer): observer for observer in self.observers}.values()

    assert registry_with(Plugin(*ears[:2]), Plugin(ears[2])).observers == ears


def test_galaxy_review_run_may_be_def_or_async_def_and_is_not_called_by_the_registry() -> None:
    class Sync:
        @hookimpl
        def galaxy_review_run(self, run: RunInfo) -> str | None:
            return f"{run.name} is not allowed"

    class Async:
        @hookimpl
        async def galaxy_review_run(self, run: RunInfo) -> str | None:
            return None

    last, first = registry_with(Sync(), Async()).implementations("galaxy_review_run")
    assert first.function(run=RUN) == "nightly is not allowed"
    answer = last.function(run=RUN)
    assert inspect.iscoroutine(answer)
    answer.close()


def test_galaxy_run_finished_gets_the_arguments_that_it_names() -> None:
    heard: list[Any] = []

    class Plugin:
        @hookimpl
        def galaxy_run_finished(self, result: Mapping[str, Any]) -> None:
            heard.append(result)

    [call] = registry_with(Plugin()).implementations("galaxy_run_finished")
    call.function(run=RUN, result={"status": "completed"})
    assert heard == [{"status": "completed"}]


@pytest.mark.parametrize(
    ("implementation", "expected"),
    [
        (lambda: "nothing", "nothing"),
        (lambda run: run, RUN),
        (lambda *, result: result, {}),
        (lambda result, /, run: (result, run), ({}, RUN)),
        (lambda **everything: everything, {"run": RUN, "result": {}}),
        (lambda run, /, **rest: (run, rest), (RUN, {"result": {}})),
        (lambda *nothing: nothing, ()),
        (lambda run, verbose=False: (run, verbose), (RUN, False)),
    ],
)
def test_an_implementation_may_take_its_arguments_in_any_way(
    implementation: Callable[..., Any], expected: object
) -> None:
    module = ModuleType("plugin_with_arguments")
    vars(module)["galaxy_run_finished"] = hookimpl(implementation)
    [call] = registry_with(module).implementations("galaxy_run_finished")
    assert call.function(run=RUN, result={}) == expected


def reviewer(name: str, *, tryfirst: bool = False, trylast: bool = False) -> object:
    class Plugin:
        @hookimpl(tryfirst=tryfirst, trylast=trylast)
        def galaxy_review_run(self) -> str | None:
            return name

    return Plugin()


def test_implementations_come_last_registered_first_and_respect_tryfirst_and_trylast() -> None:
    registry = bare()
    registry.register(reviewer("eager", tryfirst=True), "eager")
    registry.register(reviewer("a"), "a")
    registry.register(reviewer("patient", trylast=True), "patient")
    registry.register(reviewer("b"), "b")
    calls = registry.implementations("galaxy_review_run")
    assert [call.plugin for call in calls] == ["eager", "b", "a", "patient"]
    assert [call.function(run=RUN) for call in calls] == ["eager", "b", "a", "patient"]


def test_implementations_are_resolved_once_until_a_plugin_comes_or_goes() -> None:
    registry = bare()
    registry.register(reviewer("a"), "a")
    resolved = registry.implementations("galaxy_review_run")
    assert registry.implementations("galaxy_review_run") is resolved
    registry.register(reviewer("b"), "b")
    assert [call.plugin for call in registry.implementations("galaxy_review_run")] == ["b", "a"]
    registry.block("b")
    assert registry.implementations("galaxy_review_run") == resolved


def test_a_hook_that_nobody_implements_has_no_implementations() -> None:
    assert bare().implementations("galaxy_review_run") == ()


def test_asking_for_the_implementations_of_a_hook_that_is_not_there_is_an_error() -> None:
    with pytest.raises(HookError, match=r"no such hook.*galaxy_review_run"):
        bare().implementations("galaxy_review")


def test_a_plugin_may_implement_a_hook_under_another_name_and_more_than_once() -> None:
    class Plugin:
        @hookimpl(specname="galaxy_strategies")
        def near(self) -> Iterable[First]:
            return [First("near")]

        @hookimpl(specname="galaxy_strategies")
        def far(self) -> Iterable[First]:
            return [First("far")]

    assert list(registry_with(Plugin()).strategies) == ["far", "near"]


def test_an_optional_hook_of_a_later_kernel_is_left_out() -> None:
    class Plugin:
        @hookimpl(optionalhook=True)
        def galaxy_hook_of_next_year(self, anything: Any) -> None:
            raise AssertionError("never called")

        @hookimpl
        def galaxy_strategies(self) -> Iterable[First]:
            return [First()]

    registry = registry_with(Plugin())
    assert list(registry.strategies) == ["first"]
    assert registry.describe()[0].hooks == ("galaxy_strategies",)


def test_a_module_is_a_plugin_and_called_after_itself() -> None:
    @hookimpl
    def galaxy_strategies() -> Iterable[First]:
        return [First()]

    module = ModuleType("my_plugin")
    vars(module)["galaxy_strategies"] = galaxy_strategies
    registry = bare()
    assert registry.register(module) == "my_plugin"
    assert list(registry.strategies) == ["first"]


def test_hooks_may_be_static_and_class_methods() -> None:
    class Plugin:
        @staticmethod
        @hookimpl
        def galaxy_strategies() -> Iterable[First]:
            return [First("static")]

        @classmethod
        @hookimpl
        def galaxy_run_finished(cls, run: RunInfo) -> Any:
            return cls, run

    registry = registry_with(plugin := Plugin())
    assert list(registry.strategies) == ["static"]
    [call] = registry.implementations("galaxy_run_finished")
    assert call.function(run=RUN, result={}) == (type(plugin), RUN)


def test_a_plugin_that_brings_itself_through_a_hook_is_taken_once() -> None:
    class Plugin(First):
        @hookimpl
        def galaxy_strategies(self) -> Iterable[First]:
            return [self, self]

    assert list(registry_with(Plugin()).strategies) == ["first"]


def test_looking_for_hooks_runs_no_property_of_the_plugin() -> None:
    class Plugin:
        @property
        def expensive(self) -> None:
            raise AssertionError("run")

        @hookimpl
        def galaxy_strategies(self) -> Iterable[First]:
            return [First()]

    assert list(registry_with(Plugin()).strategies) == ["first"]


def test_plugins_that_are_equal_are_still_two() -> None:
    class Plugin:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        @hookimpl
        def galaxy_review_run(self) -> None:
            return None

    assert len(registry_with(Plugin(), Plugin()).implementations("galaxy_review_run")) == 2


def test_every_hook_spec_says_when_and_in_what_mode_it_is_called() -> None:
    specs = [spec for name, spec in vars(hookspecs).items() if name.startswith("galaxy_")]
    assert specs
    assert [spec.__name__ for spec in specs if not {"When:", "Mode:"} <= set((spec.__doc__ or "").split())] == []


@pytest.mark.parametrize("plugin", [First(), Radio(), Diary(), Ear()], ids=lambda plugin: type(plugin).__name__)
def test_an_object_that_is_a_contribution_is_a_plugin_without_any_hook(plugin: object) -> None:
    registry = registry_with(plugin)
    brought = [registry.strategies, registry.transports, registry.journals]
    assert [*(value for found in brought for value in found.values()), *registry.observers] == [plugin]
    [info] = registry.describe()
    assert info.hooks == ()
    assert info.module == type(plugin).__module__


def test_a_strategy_in_ten_lines_needs_no_hook() -> None:
    class Alternate:
        name = "alternate"

        def assign(self, placement: Placement) -> dict[str, str]:
            return {task.task_id: task.fitting[n % len(task.fitting)] for n, task in enumerate(placement.tasks)}

    registry = bare()
    name = registry.register(Alternate())
    assert registry.strategy("alternate").assign(Placement(tasks=(), devices={})) == {}
    assert name.endswith(".Alternate")


def test_several_instances_of_one_class_get_names_of_their_own() -> None:
    registry = bare()
    names = [registry.register(First(name)) for name in ("a", "b", "c")]
    assert [name.removeprefix(f"{__name__}.") for name in names] == ["First", "First#2", "First#3"]


def test_an_object_may_be_a_contribution_of_several_kinds() -> None:
    class Both(First, Ear):
        pass

    registry = registry_with(both := Both())
    assert registry.strategies == {"first": both}
    assert registry.observers == [both]


def test_a_method_named_open_makes_no_journal_of_a_plugin_that_has_hooks() -> None:
    class Plugin:
        def open(self) -> None:
            """Something of its own."""

        @hookimpl
        def galaxy_strategies(self) -> Iterable[First]:
            return [First()]

    registry = registry_with(Plugin())
    assert dict(registry.journals) == {}


def test_what_the_registry_shows_cannot_be_changed() -> None:
    registry = registry_with(First())
    with pytest.raises(TypeError):
        registry.strategies["other"] = First()  # type: ignore[index]
    registry.observers.append(Ear())
    assert registry.observers == []


class TestSimulators:
    class Walls:
        name = "wall"

        def simulate(self, count: int, folder: object) -> object:
            return None

    def test_are_known_by_their_names(self) -> None:
        walls = self.Walls()

        class Plugin:
            @hookimpl
            def galaxy_simulators(self) -> list[object]:
                return [walls]

        registry = PluginRegistry(discover=False)
        registry.register(Plugin())
        assert dict[str, object](registry.simulators) == {"wall": walls}

    def test_that_cannot_simulate_are_refused(self) -> None:
        class Plugin:
            @hookimpl
            def galaxy_simulators(self) -> list[object]:
                return [object()]

        with pytest.raises(HookError, match="it has no method 'simulate'"):
            PluginRegistry(discover=False).register(Plugin())


class TestFeatures:
    @pytest.mark.parametrize(
        ("features", "told"),
        [
            (["cwd"], "they must be a frozenset of strings"),
            ({"stdn"}, "it declares the feature 'stdn'; did you mean 'stdin'?"),
            ({"discovers"}, "it declares 'discovers', but it has no method 'discover'"),
            ({"returns"}, "it declares 'returns', but it has no method 'until_back'"),
        ],
    )
    def test_that_cannot_be_are_refused(self, features: object, told: str) -> None:
        transport = Radio()
        transport.features = features  # type: ignore[attr-defined]
        with pytest.raises(PluginLoadError, match=re.escape(told)):
            PluginRegistry(discover=False).register(transport)
