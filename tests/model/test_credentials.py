"""A plan is shared: what looks like a credential in it is refused, with the place and where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_core.errors import DocumentError
from galaxy_core.model.edits_file import transaction_from_dict
from galaxy_core.model.plan_file import parse_plan


def problems_of(task: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        parse_plan({"tasks": {"before": {"run": ["x"]}, "it": task}})
    except DocumentError as error:
        return [(path, text) for path, _, text in error.problems]
    return []


@pytest.mark.parametrize(
    "name", ["PASSWORD", "PGPASSWORD", "GITHUB_TOKEN", "api_key", "AWS_SECRET_ACCESS_KEY", "db.passwd"]
)
def test_a_variable_that_is_called_like_a_credential_is_refused(name: str) -> None:
    ((path, text),) = problems_of({"run": ["x"], "env": {name: "hunter2"}})
    assert path in (f"tasks.it.env.{name}", f'tasks.it.env["{name}"]')
    assert "belongs in the inventory, by reference" in text
    assert "hunter2" not in text


def test_an_argument_of_an_action_likewise() -> None:
    ((path, text),) = problems_of({"action": {"login": {"user": "lab", "password": "hunter2"}}})
    assert path == "tasks.it.action.login.password"
    assert "hunter2" not in text


@pytest.mark.parametrize("name", ["TOKENIZER", "PASSENGER", "KEY", "PASSWORD_FILE", "SECRETARY", "MONKEY"])
def test_other_names_are_none(name: str) -> None:
    assert problems_of({"run": ["x"], "env": {name: "x"}}) == []


def test_a_reference_and_an_empty_text_are_none() -> None:
    assert problems_of({"run": ["x"], "env": {"TOKEN": ""}}) == []
    assert problems_of({"run": ["x"], "env": {"TOKEN": {"from": "before", "value": "stdout"}}}) == []


def test_an_edit_cannot_bring_one_either() -> None:
    edit = {"base_revision": 0, "operations": [{"add_task": {"id": "a", "run": ["x"], "env": {"TOKEN": "hunter2"}}}]}
    with pytest.raises(DocumentError, match="looks like a credential") as caught:
        transaction_from_dict(edit)
    assert "hunter2" not in str(caught.value)
