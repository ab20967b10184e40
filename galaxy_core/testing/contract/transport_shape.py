"""Clauses about what a transport says of itself, before anything is connected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from galaxy_core.extension.interfaces import FEATURES, Transport
from galaxy_core.testing.contract.bench import Bench
from galaxy_core.testing.contract.clause import NotAskedError, clause

KINDS: Final = frozenset({"run", "shell", "call", "none"})
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_SECRET = re.compile(r"password|passwd|secret|token|passphrase|private_?key|api_?key", re.IGNORECASE)
CANARY: Final = "CANARY-4f1d"


class ShapeClauses:
    """What it says of itself."""

    @clause("the attributes of your transport, as the Protocol `Transport` lists them")
    async def test_what_it_says_of_itself_is_of_the_right_kinds(self, bench: Bench) -> None:
        transport: Any = bench.transport
        assert isinstance(transport, Transport), f"{transport!r} lacks an attribute of the Protocol `Transport`"
        assert isinstance(transport.name, str), f"its name is {transport.name!r}"
        assert _NAME.fullmatch(transport.name), (
            f"its name {transport.name!r} is not small letters, digits, '_', '-', '.'"
        )
        unknown = set(transport.requests) - KINDS
        assert not unknown, f"it takes requests of kinds that there are not: {sorted(unknown)}"
        unknown = set(bench.features) - set(FEATURES)
        assert not unknown, f"it declares features that there are not: {sorted(unknown)}; known are {sorted(FEATURES)}"
        assert transport.device_type is None or isinstance(transport.device_type, str), "device_type is no text"
        for name, model in _models(transport):
            assert hasattr(model, "model_validate"), f"{name} is {model!r}, which is no pydantic model class"

    @clause("FEATURES in galaxy_core.extension.interfaces: what each feature promises, and the Protocols beside it")
    async def test_what_it_declares_it_has(self, bench: Bench) -> None:
        for feature, method in (("returns", "until_back"), ("discovers", "discover")):
            if feature in bench.features:
                assert callable(getattr(bench.transport, method, None)), (
                    f"it declares {feature!r}, and has no {method}()"
                )
        async with bench.opened() as session:
            if "facts" in bench.features:
                facts = getattr(session, "facts", None)
                assert isinstance(facts, Mapping), f"it declares 'facts', and its session's facts are {facts!r}"
            if "watches" in bench.features:
                found = getattr(session, "until_lost", None)
                assert callable(found), "it declares 'watches', and its session has no until_lost()"

    @clause("extra='forbid' in the model_config of your settings and of each action's model")
    async def test_settings_and_arguments_that_it_does_not_know_are_refused(self, bench: Bench) -> None:
        found = dict(_models(bench.transport))
        if not found:
            raise NotAskedError("it has neither settings nor actions")
        for name, model in found.items():
            assert model.model_config.get("extra") == "forbid", f"{name}: unknown keys are not refused"

    @clause("Field(description=…) of each field: documentation and `galaxy schema` are made of it")
    async def test_every_setting_and_argument_is_described(self, bench: Bench) -> None:
        found = dict(_models(bench.transport))
        if not found:
            raise NotAskedError("it has neither settings nor actions")
        for name, model in found.items():
            properties = model.model_json_schema().get("properties", {})
            mute = sorted(field for field, told in properties.items() if not told.get("description"))
            assert not mute, f"{name}: without a description: {mute}"

    @clause("SecretStr as the type of every setting that is a secret")
    async def test_secrets_do_not_show_in_what_is_printed_of_the_settings(self, bench: Bench) -> None:
        model = bench.transport.settings_model
        secrets = [] if model is None else [name for name in model.model_fields if _SECRET.search(name)]
        if not secrets:
            raise NotAskedError("none of its settings is called like a secret")
        told = {name: CANARY for name in secrets if "str" in str(model.model_fields[name].annotation).lower()}
        settings = model.model_construct(**{**bench.settings, **_validated(model, {**bench.settings, **told}, told)})
        shown = f"{settings!r} {settings}"
        assert CANARY not in shown, f"a secret shows: {shown}"


def _validated(model: Any, settings: Mapping[str, Any], told: Mapping[str, str]) -> dict[str, Any]:
    """The values of `told` as the model keeps them; those that it does not take are left out."""
    read = {}
    for name in told:
        try:
            read[name] = getattr(model.model_validate({**settings, name: CANARY}), name)
        except ValueError:  # a secret of a special form
            continue
    return read


def _models(transport: Any) -> Iterator[tuple[str, Any]]:
    if transport.settings_model is not None:
        yield "its settings", transport.settings_model
    for name, model in transport.actions.items():
        yield f"action {name!r}", model
    if (model := getattr(transport, "discovery_model", None)) is not None:
        yield "its discovery settings", model
