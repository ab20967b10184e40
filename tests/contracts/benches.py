"""The fake transport on its far side, as a bench, under virtual time; and pydantic models for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from galaxy_core.testing.contract import Bench
from galaxy_core.testing.fakes import FakeTransport
from galaxy_core.testing.far_session import FarSession
from galaxy_core.testing.far_side import FakeFarSide
from galaxy_core.testing.far_work import FAR


class FarSettings(BaseModel):
    """Settings of the far side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(default="here", description="Where it is.")
    password: SecretStr | None = Field(default=None, description="What it asks for.")
    output_cap_bytes: int = Field(default=1 << 20, description="How much output is kept.")


class Push(BaseModel):
    """Send a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="A file of this machine.")
    target: str = Field(description="Where it goes.")
    mode: str | None = Field(default=None, description="Its permissions.")


class Pull(BaseModel):
    """Fetch a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="A file of the far side.")
    name: str = Field(description="What it is called here.")


class Discovering(BaseModel):
    """Settings of a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def fake_transport(
    far: FakeFarSide,
    session: Callable[..., FarSession] = FarSession,
    kind: type[FakeTransport] = FakeTransport,
    **more: Any,
) -> FakeTransport:
    told: dict[str, Any] = {
        "requests": frozenset({"run"}),
        "settings_model": FarSettings,
        "actions": {"push": Push, "pull": Pull},
        "discovery_model": Discovering,
    }
    return kind("far", far=far, session=session, **{**told, **more})


def bench_of(far: FakeFarSide, transport: FakeTransport, has_far_side: bool = True) -> Bench:
    return Bench(
        transport,
        {"password": "open"},
        work=FAR,
        faults=far if has_far_side else None,
        nowhere={"address": "nowhere"},
    )


@asynccontextmanager
async def far_bench() -> AsyncIterator[Bench]:
    """A bench with the fake transport on a far side of its own."""
    async with FakeFarSide() as far:
        yield bench_of(far, fake_transport(far))
