"""What a server lists is understood, whatever devices call themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_adb.listing import parse

LONG = "device usb:1-4 product:raven model:Pixel_6_Pro device:raven transport_id:7"


@pytest.mark.parametrize(
    ("line", "serial", "state", "number"),
    [
        (f"1A2B3C                 {LONG}", "1A2B3C", "device", "7"),
        ("127.0.0.1:5555         offline transport_id:3", "127.0.0.1:5555", "offline", "3"),
        ("[fe80::1]:5555         unauthorized transport_id:1", "[fe80::1]:5555", "unauthorized", "1"),
        ("adb-X (2)._adb._tcp    device transport_id:9", "adb-X (2)._adb._tcp", "device", "9"),
        (f"{'x' * 200} device transport_id:2", "x" * 200, "device", "2"),
        (
            "99000512 no permissions (user in plugdev group; are your udev rules wrong?); see [http://x.y/z] usb:1-1 transport_id:4",
            "99000512",
            "no permissions (user in plugdev group; are your udev rules wrong?); see [http://x.y/z]",
            "4",
        ),
        ("../../etc/passwd       device transport_id:2", "../../etc/passwd", "device", "2"),
        ("device                 device transport_id:2", "device", "device", "2"),
    ],
)
def test_a_line_is_a_device(line: str, serial: str, state: str, number: str) -> None:
    (found,) = parse(f"{line}\n").values()
    assert (found.serial, found.state, found.transport_id) == (serial, state, number)
    assert found.is_ready == (state == "device")


def test_what_the_server_knows_of_a_device_are_facts() -> None:
    (found,) = parse(f"1A2B3C  {LONG}\n").values()
    assert found.facts == {"product": "raven", "model": "Pixel_6_Pro", "device": "raven"}


@given(st.text(max_size=200))
def test_a_line_of_rubbish_is_left_out_and_harms_no_other(rubbish: str) -> None:
    found = parse(f"{rubbish}\n1A2B3C  {LONG}\n")
    assert found["1A2B3C"].is_ready
