"""A device's settings, checked by its transport's model; secrets looked up only when it is connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio import to_thread
from attrs import evolve

from galaxy_core.errors import SettingsError
from galaxy_core.extension.models import literal_secrets, validated_model, validated_settings, with_paths
from galaxy_core.extension.redaction import Redactor, redactor_of, secrets_in
from galaxy_core.extension.secrets import resolve_settings
from galaxy_core.extension.transports import features_of
from galaxy_core.model.device import Device, Discovery, SecretRef


def check_settings(transport: Any, device: Device) -> Any:
    """A device's settings as its transport's model; None when the transport takes none.

    No secret is looked up: a text stands for each.

    Raises:
        SettingsError: the transport refuses them; every reason is named, none with a value.
    """
    found, problems = validated_settings(transport, device.settings)
    if problems := problems + literal_secrets(transport, device):
        raise SettingsError(device.device_id, device.transport, with_paths(problems))
    return found


def check_discovery(transport: Any, discovery: Discovery) -> None:
    """The transport looks for devices, and takes the settings of this search. No secret is looked up.

    Raises:
        SettingsError: it does not; every reason is named, none with a value.
    """
    name = discovery.name
    if "discovers" not in features_of(transport):
        why = "this transport finds no devices by itself; name them below 'devices'"
        raise SettingsError(name, discovery.transport, [("", why)])
    model = getattr(transport, "discovery_model", None)
    _, problems = validated_model(model, discovery.settings)
    if problems:
        raise SettingsError(name, discovery.transport, with_paths(problems))


async def settings_to_open(transport: Any, device: Device) -> tuple[Any, Redactor | None]:
    """As `check_settings`, but with the secrets that the device needs now; and what masks those, None without any.

    Waits for a person, where the keyring does.

    Raises:
        SettingsError: the transport refuses the settings; every reason is named, none with a value.
        SecretError: a secret cannot be had.
    """
    return await _with_secrets(transport.settings_model, device.settings, device.device_id, device.transport)


async def settings_to_find(transport: Any, discovery: Discovery) -> tuple[Any, Redactor | None]:
    """Likewise, the settings of a search."""
    model = getattr(transport, "discovery_model", None)
    return await _with_secrets(model, discovery.settings, discovery.name, discovery.transport)


async def _with_secrets(
    model: Any, settings: Mapping[str, Any], name: str, transport: str
) -> tuple[Any, Redactor | None]:
    if _has_slow_ones(settings):
        resolved = await to_thread.run_sync(resolve_settings, settings, abandon_on_cancel=True)
    else:
        resolved = resolve_settings(settings)
    secrets = sorted(set(secrets_in(settings, resolved)), key=len, reverse=True)
    redactor = redactor_of(secrets)
    broken: BaseException | None = None
    try:
        found, problems = validated_model(model, resolved)
    except BaseException as error:  # of a model's author, who may quote what it complains of
        if redactor is None:
            raise
        broken = redactor.error(error)
    if broken is not None:  # raised here, because in there the first one would be its context
        raise broken
    if problems:
        told = [(path, _without(text, secrets)) for path, text in with_paths(problems)]  # the shortest, too
        raise SettingsError(name, transport, told)
    return found, redactor


def _has_slow_ones(settings: Any) -> bool:
    """Whether some secret has to be waited for: by whom, see `resolve_secret`."""
    if isinstance(settings, SecretRef):
        return settings.env is None
    if isinstance(settings, Mapping):
        return any(map(_has_slow_ones, settings.values()))
    return isinstance(settings, list | tuple) and any(map(_has_slow_ones, settings))


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def with_type(device: Device, device_type: str) -> Device:
    """The same device, of a known type."""
    return evolve(device, device_type=device_type)
