"""Addresses of WinRM services, and what settings refuse."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from galaxy_core_winrm.endpoint import parse
from galaxy_core_winrm.settings import WinrmSettings


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://office", "https://office:5986/wsman"),
        ("https://office/", "https://office:5986/wsman"),
        ("https://office.example.com:443/wsman", "https://office.example.com:443/wsman"),
        ("http://10.0.0.5", "http://10.0.0.5:5985/wsman"),
        ("http://[::1]:5985/wsman", "http://[::1]:5985/wsman"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]:5986/wsman"),
        ("HTTPS://Office:5986", "https://office:5986/wsman"),
        ("https://office:8443/some/proxy/wsman", "https://office:8443/some/proxy/wsman"),
    ],
)
def test_an_endpoint_is_made_whole(text: str, url: str) -> None:
    assert parse(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "office",
        "office:5986",
        "ftp://office",
        "https://",
        "https:///wsman",
        "https://user:secret@office",
        "https://office:0",
        "https://office:66000",
        "https://office:http",
        "https://office/wsman?x=1",
        "https://office/wsman?",
        "https://office/wsman#x",
        "https://evil.com\\@office/",
        "https://off ice",
        "https://office\n",
        "https://öffice",
        "https://-office",
        "https://office..example",
        "https://169.254.169.254/latest",
        "http://[fe80::1]:5985",
        "http://[::ffff:169.254.169.254]",
        "http://0.0.0.0",
        "http://224.0.0.1",
        "http://2852039166",
        "http://0xA9FEA9FE",
        "http://127.1",
        "http://[::1",
        "https://office/..%2f..",
    ],
)
def test_what_is_no_address_of_a_device_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z0-9.:\[\]@/?#-]{0,40}", fullmatch=True))
def test_whatever_is_taken_is_one_address_that_stays_as_it_is(text: str) -> None:
    try:
        endpoint = parse(text)
    except ValueError:
        return
    parts = urlsplit(endpoint.url)
    assert parse(endpoint.url) == endpoint
    assert (parts.hostname, parts.port, parts.path) == (endpoint.host.lower(), endpoint.port, endpoint.path)
    assert parts.username is None


GOOD: dict[str, Any] = {"endpoint": "https://office", "username": "lab", "password": "CANARY"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"auth": "basic", "endpoint": "http://office"}, "sends the password in clear"),
        ({"auth": "basic", "encrypt": "always"}, "no encryption of its own"),
        ({"password": None}, "needs a password"),
        ({"auth": "kerberos"}, "takes the ticket"),
        ({"kerberos_delegation": True}, "for auth kerberos only"),
        ({"verify": False}, "verify"),
        ({"endpoint": "office"}, "begins with https"),
        ({"root": "C:\\x\n"}, "control characters"),
        ({"max_shells": 0}, "max_shells"),
        ({"username": ""}, "username"),
    ],
)
def test_settings_that_are_not_safe_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        WinrmSettings.model_validate({**GOOD, **more})


def test_settings_never_show_the_password() -> None:
    settings = WinrmSettings.model_validate(GOOD)
    assert "CANARY" not in f"{settings!r} {settings} {settings.model_dump_json()}"
