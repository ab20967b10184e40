"""A device's settings, checked by its transport's model; secrets looked up only when it is connected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from galaxy_core.errors import SettingsError
from galaxy_core.extension.models import validated_settings, with_paths
from galaxy_core.extension.secrets import resolve_settings
from galaxy_core.model.device import Device, SecretRef


def check_settings(transport: Any, device: Device, *, secrets: bool = False) -> Any:
    """A device's settings as its transport's model; None when the transport takes none.

    Secrets are looked up only with `secrets`, that is when the device is connected; before, a text stands for each.

    Raises:
        SettingsError: the transport refuses them; every reason is named, none with a value.
        SecretError: a secret cannot be had.
    """
    settings = resolve_settings(device.settings) if secrets else device.settings
    found, problems = validated_settings(transport, settings)
    if problems:
        # The sentences of a model's author may quote what they complain of.
        hidden = sorted(_secrets(device.settings, settings), key=len, reverse=True) if secrets else []
        told = [(path, _without(text, hidden)) for path, text in with_paths(problems)]
        raise SettingsError(device.device_id, device.transport, told)
    return found


def _secrets(settings: Any, resolved: Any) -> Iterator[str]:
    """What has taken the place of references."""
    if isinstance(settings, SecretRef):
        yield resolved
    elif isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from _secrets(value, resolved[key])
    elif isinstance(settings, (list, tuple)):
        for value, other in zip(settings, resolved, strict=True):
            yield from _secrets(value, other)


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def with_type(device: Device, device_type: str) -> Device:
    """The same device, of a known type."""
    return evolve(device, device_type=device_type)
