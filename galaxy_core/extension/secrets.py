"""Fetches secrets from where an inventory refers to: the environment, a file or the keyring of the system.

A secret is fetched when a session is opened and goes into the transport's settings; it is never part of a message, a
chained error, an event or a log record of this module.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from galaxy_core.errors import SecretError
from galaxy_core.model.device import SecretRef
from galaxy_core.model.reasons import is_failure

#: A secret file larger than this many bytes is taken for a mistake.
MAX_SIZE_BYTES = 64 * 1024


def resolve_secret(ref: SecretRef) -> str:
    """The secret that `ref` refers to, never empty.

    Reads a file, or asks the keyring, which may wait for a person: call it in a worker thread.

    A file is UTF-8 text (a byte-order mark is dropped, and so is one newline at its end), up to `MAX_SIZE_BYTES` long.
    As with OpenSSH's keys, a file that belongs to the user of this process must not be open to other users; a file of
    somebody else is that person's business, and one on a read-only file system, where container platforms mount
    secrets, cannot be changed anyway. On Windows, where files have no such mode, this is not checked.

    Raises:
        SecretError: it is not there, empty, unreadable or open to others; says what to do.
    """
    if ref.env is not None:
        return _from_environment(ref, ref.env)
    if ref.file is not None:
        return _from_file(ref, Path(ref.file))
    assert ref.keyring is not None, "a SecretRef has exactly one part"
    return _from_keyring(ref, ref.keyring)


def resolve_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `settings` in which each reference, in nested mappings and lists too, is replaced by its secret.

    The result holds secrets as plain strings: give it to the transport's settings model, whose fields for them are
    `pydantic.SecretStr`, and to nothing else.

    Raises:
        SecretError: see `resolve_secret`.
    """
    return {name: _resolved(value) for name, value in settings.items()}


def _resolved(value: Any) -> Any:
    if isinstance(value, SecretRef):
        return resolve_secret(value)
    if isinstance(value, Mapping):
        return resolve_settings(value)
    if isinstance(value, list | tuple):
        return [_resolved(one) for one in value]
    return value


def missing_secrets(settings: Any) -> Iterator[SecretError]:
    """Why secrets in `settings` cannot be had, of those that can be looked for without waiting: variables and files."""
    if isinstance(settings, SecretRef):
        if settings.keyring is None:
            try:
                resolve_secret(settings)
            except SecretError as error:
                yield error
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from missing_secrets(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from missing_secrets(value)


def _from_environment(ref: SecretRef, name: str) -> str:
    secret = os.environ.get(name)
    if secret is None:
        raise SecretError(str(ref), f"environment variable {name!r} is not set; set it before the start")
    if not secret:
        raise SecretError(str(ref), f"environment variable {name!r} is empty; set it to the secret")
    return secret


def _from_file(ref: SecretRef, path: Path) -> str:
    try:
        raw = _read(ref, path.expanduser())
    except SecretError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # of opening and expanding: none of them holds any content
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SecretError(str(ref), f"the file cannot be read: {reason}; check its path and permissions") from error
    try:
        text: str | None = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None  # raised below, because this error holds the whole secret and would be chained
    if text is None:
        raise SecretError(str(ref), "the file is not UTF-8 text; save it as such")
    secret = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not secret:
        raise SecretError(str(ref), "the file is empty; write the secret into it")
    return secret


def _read(ref: SecretRef, path: Path) -> bytes:
    # Checked on the open file, which nobody can exchange in between; O_NONBLOCK, because opening a pipe would wait.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(str(ref), "this is not a regular file; name one")
        if os.name == "posix" and _is_open_to_others(descriptor, status):
            mode = stat.S_IMODE(status.st_mode)
            raise SecretError(str(ref), f"other users can reach the file (mode {mode:04o}); run: chmod 600 {path}")
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(MAX_SIZE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_SIZE_BYTES:
        raise SecretError(str(ref), f"the file has more than {MAX_SIZE_BYTES} bytes; is it the right one?")
    return raw


def _is_open_to_others(descriptor: int, status: os.stat_result) -> bool:
    if status.st_uid != os.geteuid() or not stat.S_IMODE(status.st_mode) & 0o077:
        return False
    return not os.fstatvfs(descriptor).f_flag & os.ST_RDONLY


def _from_keyring(ref: SecretRef, entry: str) -> str:
    service, slash, user = entry.rpartition("/")  # services may be URLs
    if not (service and slash and user):
        raise SecretError(str(ref), 'an entry of the keyring is written "service/user"; correct the inventory')
    try:
        keyring = import_module("keyring")
    except ImportError as error:
        why = "the package 'keyring' cannot be imported; install it: pip install \"galaxy-core[keyring]\""
        raise SecretError(str(ref), why) from error
    except BaseException as error:  # its backends may break when they are loaded; received as below
        if not is_failure(error):
            raise
        why = f"the package 'keyring' broke while it was imported: {type(error).__name__}; repair it"
        raise SecretError(str(ref), why) from error
    try:
        secret = keyring.get_password(service, user)
    except BaseException as error:  # backends raise what they like; whoever opens the device receives it as the cause
        if not is_failure(error):
            raise
        why = f"the keyring did not answer: {type(error).__name__}; unlock it, or configure one"
        raise SecretError(str(ref), why) from error
    if not secret:
        raise SecretError(str(ref), f"the keyring has no secret for it; store one: keyring set {service} {user}")
    return str(secret)
