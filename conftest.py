"""What every test of the house shares: the two event loops, and how long hypothesis searches."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest

# No deadline in either: how long an example takes tells about the machine, not about the code.
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every test marked `anyio` runs twice. Of module scope, because hypothesis refuses function-scoped fixtures."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend
