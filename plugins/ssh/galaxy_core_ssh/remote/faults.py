"""What asyncssh raises, in words, and what of it means that the connection is gone."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping
from typing import Final

import asyncssh

#: Longest text of a host that is shown.
LONGEST: Final = 300


#: In an error of asyncio for one address, or in that for several.
_UNCONNECTED: Final = re.compile(r"\[Errno (\d+)\] Connect call failed \(")


class LinkLostError(Exception):
    """The connection is gone; whoever used it decides what that means for his work."""


#: By class: what it means. The first that fits counts, so that a class stands before those that it derives from.
WORDS: Final[Mapping[type[BaseException], str]] = {
    asyncssh.HostKeyNotVerifiable: "its host key is not the known one",
    asyncssh.PermissionDenied: "it does not let us in",
    asyncssh.IllegalUserName: "it does not take the name of the user",
    asyncssh.PasswordChangeRequired: "it wants the password to be changed first",
    asyncssh.KeyExchangeFailed: "it and we have no algorithm in common",
    asyncssh.ProtocolNotSupported: "it speaks another version of the protocol",
    asyncssh.ServiceNotAvailable: "it does not offer that service",
    asyncssh.ConnectionLost: "the connection was lost",
    asyncssh.MACError: "what came was changed on the way",
    asyncssh.CompressionError: "what came was changed on the way",
    asyncssh.ProtocolError: "what came is not what the protocol says",
    asyncssh.DisconnectError: "it ended the connection",
    asyncssh.ChannelOpenError: "it opens no channel",
    asyncssh.ChannelListenError: "it does not listen for us",
    asyncssh.KeyImportError: "a key cannot be read",
    asyncssh.KeyEncryptionError: "a key cannot be opened: the passphrase is missing or wrong",
    asyncssh.KeyExportError: "a key cannot be written",
    asyncssh.KeyGenerationError: "a key cannot be made",
    asyncssh.ConfigParseError: "a configuration cannot be read",
    asyncssh.SFTPNoSuchFile: "it does not exist",
    asyncssh.SFTPNoSuchPath: "it does not exist",
    asyncssh.SFTPPermissionDenied: "the host does not allow it",
    asyncssh.SFTPWriteProtect: "it is write-protected",
    asyncssh.SFTPNoSpaceOnFilesystem: "the host's disk is full",
    asyncssh.SFTPQuotaExceeded: "the user's quota on the host is exceeded",
    asyncssh.SFTPFileIsADirectory: "it is a folder",
    asyncssh.SFTPNotADirectory: "a part of its path is no folder",
    asyncssh.SFTPLinkLoop: "it is a symbolic link",
    asyncssh.SFTPFileAlreadyExists: "it exists already",
    asyncssh.SFTPConnectionLost: "the connection was lost",
    asyncssh.SFTPNoConnection: "the connection was lost",
    asyncssh.SFTPBadMessage: "what came is not what the protocol says",
    asyncssh.SFTPOpUnsupported: "the host's file server cannot do that",
    asyncssh.SFTPFailure: "the host's file server failed (a full disk, perhaps)",
    asyncssh.SFTPError: "the host's file server failed",
    asyncssh.TimeoutError: "it took too long",
    asyncssh.ProcessError: "a program failed",
    asyncssh.Error: "it failed",
    socket.gaierror: "its name cannot be resolved",
    ConnectionRefusedError: "nothing listens there",
    ConnectionError: "the connection was lost",
    TimeoutError: "it did not answer in time",
}
#: After these nothing more comes from that connection.
LOST: Final = (
    asyncssh.DisconnectError,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    ConnectionError,
    LinkLostError,
)


def clean(text: str) -> str:
    """What a host said, safe to be shown: one line without control characters, at most `LONGEST` long."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    short = " ".join(plain.split())
    return short if len(short) <= LONGEST else short[:LONGEST] + "…"


def _plain(error: OSError) -> OSError:
    """Without the addresses that asyncio tells in place of what the system says, as Python writes tuples."""
    numbers = {int(number) for number in _UNCONNECTED.findall(str(error))}
    return OSError(number, os.strerror(number)) if len(numbers) == 1 and (number := numbers.pop()) else error


def explain(error: BaseException) -> str:
    """Why it did not work, as the end of a sentence about the host or the file."""
    if isinstance(error, LinkLostError):
        return str(error)
    if isinstance(error, OSError):
        error = _plain(error)
    words = next((text for kind, text in WORDS.items() if isinstance(error, kind)), None)
    if isinstance(error, OSError):
        if words is None and error.errno == errno.ENOSPC:
            words = "the disk of this machine is full"
        detail = error.strerror or str(error)
    else:
        detail = str(error)
    detail = clean(detail)
    return words + (f" ({detail})" if detail else "") if words else detail or type(error).__name__
