"""A session of transport `local` without an orchestrator around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from galaxy_core import Device, SecretRef, TaskStar
from galaxy_core.extension.interfaces import Attempt, Outcome
from galaxy_core_local.settings import LocalSettings
from galaxy_core_local.transports import LocalTransport


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The working folder of `execute`."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Where the files of the attempts of `execute` are kept, one folder each."""
    return tmp_path / "artifacts"


@pytest.fixture
def execute(root: Path, artifacts: Path) -> Callable[..., Awaitable[Outcome]]:
    """Runs one attempt in a session of its own: ``execute(request, heard=None, keep=True, **settings)``.

    `heard(stream, text)` gets output as it comes. Without `keep` there is no place for files; a path is that of each.
    `secrets` are the names of those variables in `env` that the inventory holds by reference.
    """
    leases = count(1)

    async def execute(
        request: Any,
        *,
        heard: Callable[[str, str], None] | None = None,
        keep: bool | Path = True,
        secrets: Sequence[str] = (),
        **settings: Any,
    ) -> Outcome:
        def output(_attempt: Attempt, stream: str, text: str) -> None:
            assert heard is not None
            heard(stream, text)

        def place(attempt: Attempt, name: str) -> Path:
            if isinstance(keep, Path):
                return keep
            folder = artifacts / str(attempt.lease)
            folder.mkdir(parents=True, exist_ok=True)
            return folder / name

        attempt = Attempt(
            "run",
            TaskStar("task", request=request),
            "here",
            number=1,
            lease=next(leases),
            request=request,
            timeout_s=None,
            output=None if heard is None else output,
            artifacts=place if keep else None,
        )
        model = LocalSettings.model_validate({"root": root, **settings})
        device = Device("here", settings={"env": {name: SecretRef(env=name) for name in secrets}})
        async with LocalTransport().open(device, model) as session:
            return await session.execute(attempt)

    return execute
