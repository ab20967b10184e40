"""The reference page says what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from galaxy_core_adb.requests import ACTIONS
from galaxy_core_adb.settings import AdbDiscovery, AdbSettings
from galaxy_core_adb.transport import AdbTransport

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "transport-adb.md"


@pytest.mark.parametrize("model", [AdbSettings, AdbDiscovery, *ACTIONS.values()])
def test_each_setting_and_argument_stands_in_the_reference(model: type[BaseModel]) -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    for name, field in model.model_fields.items():
        assert f"`{name}`" in page, name
        description = str(field.description).rstrip(".")
        assert description in page or model is AdbDiscovery, name


def test_each_action_and_feature_stands_in_the_reference() -> None:
    page = PAGE.read_text(encoding="utf-8")
    transport = AdbTransport()
    for name in (*transport.actions, *transport.requests):
        assert f"`{name}`" in page
