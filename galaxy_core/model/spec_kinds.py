"""Of what kind the values of a task have to be: what its constructor and its setters refuse.

They all raise PlanError, which names the field, the task and what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from galaxy_core.errors import PlanError
from galaxy_core.model.policy import Effect, RetryPolicy
from galaxy_core.model.reasons import shown
from galaxy_core.model.request import Action, Call, Command
from galaxy_core.model.values import copied


def is_number(value: Any) -> bool:
    """Whether it is a number, and no bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 0, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def unfit(task_id: Any, what: str, wanted: str, found: Any) -> PlanError:
    """The error of a value of another kind than the one that is wanted."""
    return PlanError(f"{what} of task {shown(task_id)} must be {wanted}, not {shown(found)}")


def check_texts(task_id: Any, **texts: Any) -> None:
    """Refuse what is no text, by its name."""
    for what, text in texts.items():
        if not isinstance(text, str):
            raise unfit(task_id, what, "a text", text)


def check_text_or_none(task_id: Any, what: str, text: Any) -> None:
    """Refuse what is neither a text nor None."""
    if text is not None and not isinstance(text, str):
        raise unfit(task_id, what, "a text or None", text)


def checked_texts(task_id: Any, what: str, texts: Any) -> list[str]:
    """A new list of texts."""
    if isinstance(texts, (str, Mapping)) or not isinstance(texts, Iterable):
        raise unfit(task_id, what, "a list of texts", texts)
    found = list(texts)
    for text in found:
        if not isinstance(text, str):
            raise unfit(task_id, what, "a list of texts", found)
    return found


def checked_data(task_id: Any, data: Any) -> dict[str, Any]:
    """A copy of a mapping, to any depth."""
    if not isinstance(data, Mapping):
        raise unfit(task_id, "task data", "a mapping", data)
    return copied(dict(data))  # type: ignore[no-any-return]


def check_request(task_id: Any, request: Any) -> None:
    """Refuse what is no request."""
    if not isinstance(request, (Command, Action, Call)):
        raise unfit(task_id, "request", "a Command, an Action, a Call or None", request)


def checked_effect(task_id: Any, effect: Any) -> Effect:
    """An effect, or the one of that value."""
    try:
        return Effect(effect)
    except ValueError:
        raise unfit(task_id, "effect", "an Effect", effect) from None


def check_retry(task_id: Any, retry: Any) -> None:
    """Refuse what is no retry policy."""
    if not isinstance(retry, RetryPolicy):
        raise unfit(task_id, "retry", "a RetryPolicy", retry)
