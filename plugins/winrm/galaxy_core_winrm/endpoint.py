"""Addresses of WinRM services, taken apart and checked before anything connects to them."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

PORTS: Final = {"http": 5985, "https": 5986}
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


@frozen
class Endpoint:
    """Where a WinRM service is. `host` is a name or an address, of IPv6 without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The whole address, always with its port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_encrypted(self) -> bool:
        """Whether it is https."""
        return self.scheme == "https"


def parse(text: str) -> Endpoint:
    """Take an address apart: ``https://host``, ``https://host:5986/wsman``, ``http://[::1]:5985/wsman``.

    Raises:
        ValueError: it is no whole address of a WinRM service, or one that must not be connected to.
    """
    if not text.isascii() or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("an endpoint is written in ASCII, without blanks")
    parts = urlsplit(text)
    if parts.scheme not in PORTS:
        raise ValueError(
            "an endpoint begins with https:// (or http://, where messages are encrypted by NTLM or Kerberos)"
        )
    if "@" in parts.netloc:
        raise ValueError("an endpoint holds no user name or password: there are settings for them")
    if parts.query or parts.fragment or "?" in text or "#" in text or "\\" in text:
        raise ValueError("an endpoint has no query, no fragment and no backslash")
    host = parts.hostname
    if not host:
        raise ValueError("an endpoint names a host")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("the port of an endpoint is a number up to 65535") from error
    if port == 0:
        raise ValueError("the port of an endpoint is not 0")
    if not _PATH.fullmatch(parts.path):
        raise ValueError("the path of an endpoint is plain, such as /wsman")
    return Endpoint(parts.scheme, _checked(host), port or PORTS[parts.scheme], parts.path.rstrip("/") or "/wsman")


def _checked(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if ":" in host or not _HOST.fullmatch(host) or len(host) > 253:
            raise ValueError(f"{host!r} is neither the name nor the address of a host") from None
        if re.fullmatch(r"[0-9.]+|0[xX][0-9A-Fa-f]+", host):
            # Resolvers take 2852039166 and 0xA9FEA9FE for addresses.
            raise ValueError(f"{host!r} is not an address in the usual notation") from None
        return host
    why = why_not(address)
    if why:
        raise ValueError(
            f"{host} is {why}: no device is there, but there may be what only its own machine should reach"
        )
    return str(address)


def why_not(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """Why no device may be at this address, in a few words; None when it may.

    Link-local addresses lead to the metadata services of clouds, which hand out credentials.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    return "the unspecified address" if address.is_unspecified else None
