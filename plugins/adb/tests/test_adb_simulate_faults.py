"""A phone misbehaves as it is told, and only then: seen by a client that knows nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from galaxy_core.testing.contract.faults import FAULTS, PHASES, FarSide, Fault, Phase
from galaxy_core_adb.simulate.phone import Phone
from galaxy_core_adb.simulate.rig import Rig, phones

from .adb_asking import Said, left_alone, opened, said, until

pytestmark = pytest.mark.anyio

DEADLINE_S = 0.4
WORK = "echo early; sleep 0.1; echo late; exit 5"
WHOLE, CUT, HUNG, GARBAGE = "whole", "cut", "hung", "garbage"
#: What a host sees of work that is struck before or while it runs, or at its end.
SEEN: dict[Fault, str] = {
    "hang": HUNG,
    "frozen": HUNG,
    "late_answer": HUNG,
    "disconnect": CUT,
    "server_dead": CUT,
    "lost_answer": CUT,
    "garbage": GARBAGE,
    "authentication_lost": WHOLE,
    "slow": WHOLE,
    "trickle": WHOLE,
    "duplicate_answer": WHOLE,
    "huge_output": WHOLE,
    "binary_output": WHOLE,
}
#: What differs before it has begun: whether it ever does, too.
AT_THE_START: dict[Fault, str] = {**SEEN, "lost_answer": HUNG, "authentication_lost": CUT}
NEVER_STARTED = {"hang", "frozen", "disconnect", "server_dead", "garbage", "authentication_lost"}
PROCESS, BUILTIN = f"exec /bin/sh -c '{WORK}'", "echo early; echo late; exit 5"
#: One of each outcome: never answered, cut off, begun later, whole.
FAULTS_OF_BUILTINS: tuple[Fault, ...] = ("hang", "disconnect", "late_answer", "garbage", "slow")


@pytest.fixture
async def rig(anyio_backend: object) -> AsyncIterator[Rig]:
    """One phone whose faults are small and quick."""
    async with phones(1) as rig:
        rig[0].faults.late_s = 0.7
        rig[0].faults.huge_bytes = 500_000
        rig[0].faults.slow_s = 0.05
        yield rig


def seen(found: Said) -> str:
    if found.garbage:
        return GARBAGE
    if found.hung:
        return HUNG
    return WHOLE if found.codes and found.codes[0] == 5 and found.out.startswith(b"early\nlate\n") else CUT


async def healthy(rig: Rig) -> None:
    """It behaves, and nothing is left."""
    phone = rig[0]
    await phone.heal()
    assert await said(rig.port, phone.serial, "echo well", within_s=5) == Said(b"well\n", b"", (0,))
    await left_alone(phone)


async def test_a_phone_is_a_far_side_with_every_cell(tmp_path: Path) -> None:
    phone = Phone(tmp_path / "phone")
    assert isinstance(phone, FarSide)
    assert {cell for cell, why in phone.cells.items() if why is None} == {(f, p) for f in FAULTS for p in PHASES}


# A fault strikes the answer, which is the same for both kinds of work: the whole matrix for one, each outcome for the other.
@pytest.mark.parametrize(
    ("fault", "work"),
    [
        *(pytest.param(fault, PROCESS, id=f"{fault}-process") for fault in FAULTS),
        *(pytest.param(fault, BUILTIN, id=f"{fault}-builtin") for fault in FAULTS_OF_BUILTINS),
    ],
)
async def test_work_is_struck_when_the_fault_says(rig: Rig, fault: Fault, work: str) -> None:
    phone = rig[0]
    for number, phase in enumerate(("start", "middle", "exit"), 1):
        mark = f"m-{number}"
        await phone.inject(fault, phase)  # type: ignore[arg-type]
        found = await said(rig.port, phone.serial, f"export GALAXY_MARK={mark}; {work}", within_s=DEADLINE_S)
        assert seen(found) == (AT_THE_START if phase == "start" else SEEN)[fault], (phase, found)
        if phase == "exit" and fault in ("disconnect", "lost_answer", "hang", "late_answer", "server_dead", "garbage"):
            assert found.out == b"early\nlate\n", "it strikes when the work is done"
            assert (await phone.truth(mark)).exit_code == 5
        if phase == "exit" and fault == "duplicate_answer":
            assert found.codes == (5, 5)
        if fault == "late_answer" and phase == "start":
            assert (await phone.truth(mark)).starts == 0, "it has not begun when the host has given up"
            await until(lambda mark=mark: phone.attempts.of(mark).starts)  # type: ignore[misc]
        starts = 0 if phase == "start" and fault in NEVER_STARTED else 1
        assert (await phone.truth(mark)).starts == starts
        await healthy(rig)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_the_clean_up_comes_after_the_whole_answer(rig: Rig, fault: Fault) -> None:
    await rig[0].inject(fault, "clean_up")
    script = f"export GALAXY_MARK=m-1; exec /bin/sh -c '{WORK}'"
    found = await said(rig.port, rig[0].serial, script, within_s=DEADLINE_S)
    assert (found.code, found.out) == (5, b"early\nlate\n")
    await healthy(rig)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_connecting_shows_when_it_is_connected_again(rig: Rig, fault: Fault) -> None:
    phone = rig[0]
    await phone.inject(fault, "connect")
    usable = fault in ("slow", "trickle", "duplicate_answer", "huge_output", "binary_output")
    if usable:
        await rig.server.restore(phone.serial)
        assert (await said(rig.port, phone.serial, "exit 5", within_s=5)).code == 5
    else:
        found = await said(rig.port, phone.serial, "exit 5", within_s=DEADLINE_S)
        assert found.code is None
    await healthy(rig)


@pytest.mark.parametrize(("fault", "phase"), [("hang", "middle"), ("lost_answer", "exit")])
async def test_a_fault_strikes_one_attempt_and_no_other_command(rig: Rig, fault: Fault, phase: Phase) -> None:
    phone = rig[0]
    await phone.inject(fault, phase)
    assert (await said(rig.port, phone.serial, "echo plain", within_s=5)).code == 0
    script = "export GALAXY_MARK=m-1; exec echo marked"
    assert (await said(rig.port, phone.serial, script, within_s=DEADLINE_S)).code is None
    assert (await said(rig.port, phone.serial, script, within_s=5)).code == 0


async def test_the_wire_can_be_cut_at_a_byte(rig: Rig) -> None:
    phone = rig[0]
    for cut_at in (10, 24, 30, 50_000):
        phone.wire.drop_at = cut_at
        found = await said(rig.port, phone.serial, "head -c 100000 /dev/zero", within_s=5)
        assert found.code is None
        assert len(found.out) < max(cut_at, 1000)
        await healthy(rig)


async def test_the_wire_can_be_garbled_at_a_byte(rig: Rig) -> None:
    phone = rig[0]
    phone.wire.garble_at = 30
    found = await said(rig.port, phone.serial, "head -c 100000 /dev/zero", within_s=DEADLINE_S)
    assert found.garbage or found.code is None
    await healthy(rig)


async def test_the_wire_can_trickle(rig: Rig) -> None:
    rig[0].wire.trickle = (7, 0.0)
    assert await said(rig.port, rig[0].serial, "echo slow", within_s=5) == Said(b"slow\n", b"", (0,))


async def test_a_service_can_be_refused(rig: Rig) -> None:
    rig[0].misbehave("refuse", on="shell", times=2)
    for _ in range(2):
        assert (await said(rig.port, rig[0].serial, "true")).refused == "closed"
    assert (await said(rig.port, rig[0].serial, "true")).code == 0


async def test_an_unplugged_phone_is_gone_and_comes_back(rig: Rig) -> None:
    phone = rig[0]
    before = set(phone.links)
    phone.come_back(0.1)
    await until(lambda: any(link.online for link in phone.links - before))
    await rig.server.until({phone.serial: "device"})
    assert (await said(rig.port, phone.serial, "true")).code == 0
    phone.unplug()
    await rig.server.noticed(phone.serial, lambda: False)
    assert (await said(rig.port, phone.serial, "true", within_s=5)).refused is not None
    await healthy(rig)


async def test_a_reboot_ends_what_runs(rig: Rig) -> None:
    phone = rig[0]
    talk = await opened(rig.port, phone.serial, "shell,v2,raw:trap '' HUP; sleep 61 & sleep 62")
    async with talk.stream:
        await until(phone.remains)
        assert (await said(rig.port, phone.serial, "reboot", within_s=5)).code is None
    await until(lambda: phone.properties["sys.boot_completed"] == "1")
    await healthy(rig)


async def test_a_phone_asks_its_owner_about_a_new_host(anyio_backend: object) -> None:
    async with phones(1, authentication="asks") as rig:
        await rig.server.until({rig[0].serial: "unauthorized"})
        rig[0].agree()
        await rig.server.until({rig[0].serial: "device"})
        assert len(rig[0].keys) == 1


async def test_a_phone_that_refuses_stays_unauthorized(anyio_backend: object) -> None:
    async with phones(1, authentication="refuses") as rig:
        await rig.server.until({rig[0].serial: "unauthorized"})
        assert "unauthorized" in (str((await said(rig.port, rig[0].serial, "true", within_s=5)).refused))


async def test_a_forgotten_key_counts_from_the_next_link_on(rig: Rig) -> None:
    phone = rig[0]
    phone.forget_keys()
    assert (await said(rig.port, phone.serial, "true", within_s=5)).code == 0
    for link in list(phone.links):
        link.drop()
    await rig.server.until({phone.serial: "unauthorized"})
    await healthy(rig)


async def test_phones_behave_for_hosts_that_count_bytes(anyio_backend: object) -> None:
    async with phones(1, version=0x0100_0000) as rig:
        found = await said(rig.port, rig[0].serial, "head -c 300000 /dev/zero | tr '\\0' x; cat", b"in")
        assert found == Said(b"x" * 300_000 + b"in", b"", (0,))
