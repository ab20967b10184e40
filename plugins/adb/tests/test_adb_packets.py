"""The packets of shell v2 are read the same however they are cut, and rubbish is told from them."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_adb.failures import GarbledError
from galaxy_core_adb.packets import EXIT, LARGEST_BYTES, STDERR, STDOUT, Packets, packet

STREAMS = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=50)), max_size=10)


def joined(pieces: list[tuple[int, bytes]]) -> dict[int, bytes]:
    return {kind: b"".join(body for found, body in pieces if found == kind) for kind in (STDOUT, STDERR, EXIT)}


@given(STREAMS, st.integers(0, 255), st.binary(max_size=20), st.data())
def test_however_a_conversation_is_cut_it_says_the_same(
    said: list[tuple[int, bytes]], code: int, rubbish: bytes, data: st.DataObject
) -> None:
    raw = b"".join(packet(kind, body) for kind, body in said) + packet(EXIT, bytes([code]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    packets, found = Packets(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += packets.feed(raw[start:end])
    wanted = joined([*said, (EXIT, bytes([code]))])
    assert joined(found) == wanted
    assert joined(Packets().feed(raw + rubbish)) == wanted  # after the exit status, nothing counts


def test_output_is_given_before_its_packet_is_whole() -> None:
    assert Packets().feed(packet(STDOUT, b"hello")[:7]) == [(STDOUT, b"he")]


@pytest.mark.parametrize("head", [(0, 3), (4, 0), (7, 1), (255, 1), (EXIT, 0), (EXIT, 2), (STDOUT, LARGEST_BYTES + 1)])
def test_what_no_shell_sends_is_garbage(head: tuple[int, int]) -> None:
    with pytest.raises(GarbledError):
        Packets().feed(struct.pack("<BI", *head))


@given(st.binary(max_size=100))
def test_rubbish_is_garbage_or_waits_for_more_and_nothing_else(rubbish: bytes) -> None:
    with contextlib.suppress(GarbledError):
        Packets().feed(rubbish)
