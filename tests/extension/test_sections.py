"""What plans say to plugins: declared by models, checked with places, and in the JSON Schema of plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict

from galaxy_core.errors import HookError, PluginConflictError
from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.extension.sections import extension_models, extension_problems, unread_sections
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.plan_file import parse_plan
from galaxy_core.model.schema_files import plan_json_schema


class Ring(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    on: list[str]
    loud: bool = False


class Rings(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    rings: list[Ring]


class Bell:
    """A plugin that rings when tasks end."""

    @hookimpl
    def galaxy_extension_models(self) -> Mapping[str, type[BaseModel]]:
        return {"bell": Rings}

    @hookimpl
    def galaxy_check_extension(
        self, section: Rings, plan: TaskConstellation
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for index, ring in enumerate(section.rings):
            for number, task_id in enumerate(ring.on):
                if plan.get_task(task_id) is None:
                    yield ("rings", index, "on", number), f"there is no task {task_id!r}"


def registry(*plugins: object) -> PluginRegistry:
    found = PluginRegistry(discover=False)
    for number, plugin in enumerate(plugins):
        found.register(plugin, f"plugin-{number}")
    return found


def plan(extensions: Any) -> TaskConstellation:
    return parse_plan({"tasks": {"test": {"run": ["test"]}}, "extensions": extensions}).to_constellation()


def test_a_section_is_checked_by_the_model_that_its_plugin_declares() -> None:
    plugins = registry(Bell())
    assert dict(extension_models(plugins)) == {"bell": Rings}
    assert extension_problems(plugins, plan({"bell": {"rings": [{"on": ["test"]}]}})) == []
    wrong = {"bell": {"rings": [{"on": ["test"], "lound": True}, {"loud": 1}]}}
    assert dict(extension_problems(plugins, plan(wrong))) == {
        (
            "extensions",
            "bell",
            "rings",
            0,
            "lound",
        ): "unknown key 'lound'; did you mean 'loud'?; allowed are 'on', 'loud'",
        ("extensions", "bell", "rings", 1): "'on' is missing",
        ("extensions", "bell", "rings", 1, "loud"): "found the number 1; true or false is wanted here",
    }


def test_what_does_not_fit_the_plan_is_told_with_its_place() -> None:
    found = extension_problems(registry(Bell()), plan({"bell": {"rings": [{"on": ["test", "tset"]}]}}))
    assert found == [(("extensions", "bell", "rings", 0, "on", 1), "there is no task 'tset'")]


def test_sections_that_nobody_has_declared_and_plans_without_any_are_let_alone() -> None:
    class Broken(Bell):
        @hookimpl
        def galaxy_extension_models(self) -> Mapping[str, type[BaseModel]]:
            raise LookupError("asked for nothing")

    assert extension_problems(registry(Bell()), plan({"other": 7})) == []
    assert extension_problems(registry(Broken()), parse_plan({"tasks": {}}).to_constellation()) == []


def test_a_plugin_is_asked_to_check_only_what_it_has_declared_itself() -> None:
    class Nosy:
        @hookimpl
        def galaxy_check_extension(self, section: Any) -> Iterable[Any]:
            raise AssertionError("this is not mine")

    assert extension_problems(registry(Nosy(), Bell()), plan({"bell": {"rings": []}})) == []


def test_two_plugins_cannot_declare_one_section() -> None:
    with pytest.raises(PluginConflictError, match="plan extension 'bell'"):
        extension_models(registry(Bell(), Bell()))


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ([Rings], "it must return a mapping"),
        ({"bell": Rings(rings=[])}, "must be a pydantic model class"),
        ({7: Rings}, "a key of `extensions` is a text"),
    ],
)
def test_what_is_no_mapping_of_models_is_an_error_of_the_plugin(returned: Any, why: str) -> None:
    class Plugin:
        @hookimpl
        def galaxy_extension_models(self) -> Any:
            return returned

    with pytest.raises(HookError, match=why):
        extension_models(registry(Plugin()))


@pytest.mark.parametrize("returned", [7, [("rings", "wrong")], ["wrong"], [(("rings",), None)]])
def test_what_is_no_problem_is_an_error_of_the_plugin(returned: Any) -> None:
    class Plugin(Bell):
        @hookimpl
        def galaxy_check_extension(self, section: Any, plan: Any) -> Any:
            return returned

    with pytest.raises(HookError, match="it must return"):
        extension_problems(registry(Plugin()), plan({"bell": {"rings": []}}))


def test_a_check_that_raises_is_an_error_of_the_plugin() -> None:
    class Plugin(Bell):
        @hookimpl
        def galaxy_check_extension(self, section: Any, plan: Any) -> Any:
            raise LookupError("no such thing")

    with pytest.raises(HookError, match="no such thing"):
        extension_problems(registry(Plugin()), plan({"bell": {"rings": []}}))


def test_the_schema_of_plans_says_what_plugins_declare() -> None:
    bad: dict[str, Any]
    schema = plan_json_schema(extension_models(registry(Bell())))
    document: dict[str, Any] = {"tasks": {"test": {"run": ["test"]}}}
    for good in ({"bell": {"rings": [{"on": ["test"]}]}}, {"other": 7}):
        jsonschema.validate(document | {"extensions": good}, schema)
    for bad in ({"bell": {"rings": [{"on": "test"}]}}, {"bell": {}}, {"bell": {"rings": [{"on": [], "x": 1}]}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"extensions": bad}, schema)


class TestSectionsThatNobodyReads:
    class Reads:
        @hookimpl
        def galaxy_extension_models(self) -> dict[str, type]:
            return {"manners": BaseModel}

    def registry(self, *blocked: str) -> PluginRegistry:
        registry = PluginRegistry(discover=False, blocked=blocked)
        registry.register(self.Reads(), "polite")
        return registry

    def test_are_named_with_the_nearest_that_somebody_does(self) -> None:
        (found,) = unread_sections(self.registry(), ["polite", "manners", "manner"]).items()
        assert found == (
            "manner",
            "no plugin 'manner' is installed: this is passed over; did you mean 'manners'?",
        )

    def test_are_those_of_a_blocked_plugin_too(self) -> None:
        found = unread_sections(self.registry("polite"), ["polite"])
        assert found == {"polite": "the plugin 'polite' is blocked: what it is told is passed over"}
