"""Whether the pydantic models of a transport take settings and arguments, and what they have against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from galaxy_core.errors import GalaxyError
from galaxy_core.extension.interfaces import Transport
from galaxy_core.model.device import Device, SecretRef
from galaxy_core.model.reasons import is_failure, text_of
from galaxy_core.model.request import Action

#: Where in the settings or arguments (keys of mappings, indices of lists), and what is wrong there.
Problem = tuple[tuple[str | int, ...], str]


def settings_problems(transport: Transport, device: Device) -> list[Problem]:
    """What a transport has against a device's settings. No secret is looked up: its reference, as text, stands for it.

    The sentences do not show what stands in settings, because any of it may be secret.
    """
    return validated_settings(transport, device.settings)[1] + literal_secrets(transport, device)


def validated_settings(transport: Transport, settings: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """The instance of a transport's model of settings, None when it takes none; and what it has against them.

    Nothing is held against a secret that was not looked up: what only stands for it may be too short, or no number.
    """
    return validated_model(transport.settings_model, settings)


def literal_secrets(transport: Transport, device: Device) -> list[Problem]:
    """Secrets that stand in an inventory file as themselves: it is kept, copied and shared as files are.

    What a program gives is its own affair, and so are the values of mappings such as `env`, which may be no secrets.
    """
    if device.folder is None:
        return []
    fields = getattr(transport.settings_model, "model_fields", {})
    return [
        (
            (name,),
            "a secret stands in an inventory as a reference: {env: NAME}, {file: PATH} or {keyring: SERVICE/USER}",
        )
        for name, field in fields.items()
        if isinstance(device.settings.get(name), str) and "SecretStr" in _names_in(field.annotation)
    ]


def _names_in(annotation: Any) -> set[str]:
    """The names of a type and of those that it may be instead."""
    return {getattr(annotation, "__name__", "")}.union(*map(_names_in, getattr(annotation, "__args__", ())))


def validated_model(model: Any, settings: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """Likewise, by a model of settings, or by None."""
    if model is not None:
        found, problems = validated(model, with_placeholders(settings), show=False)
        return found, [problem for problem in problems if not _is_unknown(settings, problem[0])]
    return None, [((), "this transport takes no settings")] if settings else []


def _is_unknown(settings: Any, place: Iterable[str | int]) -> bool:
    """Whether what stands at a place of settings is a secret that was not looked up."""
    for step in place:
        try:
            settings = settings[step]
        except (KeyError, IndexError, TypeError):
            break
    return isinstance(settings, SecretRef)


def argument_problems(transport: Transport, action: Action) -> list[Problem]:
    """What a transport has against the arguments of an action that it knows.

    Nothing while some of them are references, which have no value yet.
    """
    return [] if action.has_references else validated(transport.actions[action.name], dict(action.arguments))[1]


def validated(model: Any, values: Any, *, show: bool = True) -> tuple[Any, list[Problem]]:
    """The instance of a pydantic model that `values` give, or None and all that is wrong with them.

    `show` False keeps the values out of the sentences.
    """
    try:
        return model.model_validate(values), []
    except BaseException as error:  # whoever sees the settings refused receives it
        if isinstance(error, GalaxyError) or not is_failure(error):
            raise
        return None, _problems_of(error, model, values, show)


def _problems_of(error: BaseException, model: Any, values: Any, show: bool) -> list[Problem]:
    broke: list[Problem] = [
        ((), f"{getattr(model, '__name__', 'its model')} broke while it checked them: {type(error).__name__}")
    ]
    if not isinstance(error, ValueError):  # which is how a validator refuses; anything else is a mistake of its author
        return broke
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return [((), text_of(error))]
    from galaxy_core.model.model_errors import model_problems  # only who errs needs it

    try:
        return model_problems(model, values, listed(include_url=False), show)
    except BaseException as unreadable:  # as above: what a validator raised cannot even be read
        if not is_failure(unreadable):
            raise
        return broke


def with_paths(problems: Iterable[Problem]) -> list[tuple[str, str]]:
    """Problems with their places as one writes them: ``env.PATH``, ``hosts[0]``."""
    from galaxy_core.model.places import path_text  # only who errs needs it

    return [(path_text(place), text) for place, text in problems]


def with_placeholders(settings: Any) -> Any:
    """Settings in which the text of each reference stands for its secret."""
    if isinstance(settings, SecretRef):
        return str(settings)
    if isinstance(settings, Mapping):
        return {key: with_placeholders(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [with_placeholders(value) for value in settings]
    return settings
