"""A device's settings, checked by its transport's model; secrets looked up only when it is connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from galaxy_core.errors import GalaxyError, SettingsError
from galaxy_core.extension.secrets import resolve_settings
from galaxy_core.model.device import Device, SecretRef


def check_settings(transport: Any, device: Device, *, secrets: bool = False) -> Any:
    """A device's settings as its transport's model; None when the transport takes none.

    Secrets are looked up only with `secrets`, that is when the device is connected; before, a text stands for each.

    Raises:
        SettingsError: the transport refuses them.
        SecretError: a secret cannot be had.
    """
    settings = resolve_settings(device.settings) if secrets else _with_placeholders(device.settings)
    model = transport.settings_model
    if model is None:
        if device.settings:
            raise SettingsError(device.device_id, device.transport, [("", "this transport takes no settings")])
        return None
    try:
        return model.model_validate(settings)
    except GalaxyError:
        raise
    except ValueError as error:
        found = getattr(error, "errors", None)
        problems = (
            [(".".join(map(str, one["loc"])), one["msg"]) for one in found(include_url=False, include_input=False)]
            if callable(found)
            else [("", str(error))]
        )
        raise SettingsError(device.device_id, device.transport, problems) from None


def _with_placeholders(settings: Any) -> Any:
    if isinstance(settings, SecretRef):
        return str(settings)
    if isinstance(settings, Mapping):
        return {key: _with_placeholders(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [_with_placeholders(value) for value in settings]
    return settings


def with_type(device: Device, device_type: str) -> Device:
    """The same device, of a known type."""
    return evolve(device, device_type=device_type)
