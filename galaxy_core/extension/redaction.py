"""Secrets of a device do not come back: not in what its commands write, and not in what its transport says or raises.

A secret is found as it is, and as Python, JSON, paths and URLs write it; not when somebody has encoded or split it in
ways of their own. Values shorter than `SHORTEST` are not looked for: they occur in any text by chance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final
from urllib.parse import quote, quote_plus

from galaxy_core.errors import DeviceLostError
from galaxy_core.model.device import SecretRef
from galaxy_core.model.reasons import is_failure, message_of

#: Characters of the shortest value that is masked.
SHORTEST: Final = 6
MASK: Final = "***"


def secrets_in(settings: Any, resolved: Any) -> Iterator[str]:
    """What has taken the place of the references in `settings`, see `resolve_settings`."""
    if isinstance(settings, SecretRef):
        yield resolved
    elif isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from secrets_in(value, resolved[key])
    elif isinstance(settings, (list, tuple)):
        for value, other in zip(settings, resolved, strict=True):
            yield from secrets_in(value, other)


def redactor_of(secrets: Iterable[str]) -> Redactor | None:
    """What masks these values; None when there is nothing to mask, so that nobody needs to try."""
    spelled = {spelling for secret in secrets for spelling in _spellings(secret) if len(spelling) >= SHORTEST}
    return Redactor(spelled) if spelled else None


def _spellings(secret: str) -> Iterator[str]:
    """How a secret may stand in a text; of one of several lines, each line, too."""
    for text in {secret, secret.strip(), *map(str.strip, secret.splitlines())}:
        yield text
        yield repr(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield str(PurePath(text))
        yield quote(text, errors="replace")
        yield quote(text, "", errors="replace")
        yield quote_plus(text, errors="replace")


class Redaction:
    """Replaces each of `secrets` in a text that comes in pieces, also where a secret lies across two of them.

    The end of a piece is held back for as long as it may be the beginning of a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first, because one may begin with another.
        self._secrets = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._longest = len(self._secrets[0]) if self._secrets else 0
        self._pattern = re.compile("|".join(map(re.escape, self._secrets)))
        self._held = ""

    def feed(self, piece: str, *, final: bool = False) -> str:
        """What can be passed on once this piece is there; all that is left, if it is the final one."""
        if not self._secrets:
            return piece
        text, passed, place = self._held + piece, [], 0
        for found in self._pattern.finditer(text):
            # The length first: to look at the rest at every secret that is found would cost its square.
            if not final and len(text) - found.start() < self._longest and self._may_go_on(text[found.start() :]):
                break
            passed += [text[place : found.start()], MASK]
            place = found.end()
        held = 0 if final else self._beginning(text[place:])
        self._held = text[len(text) - held :]
        return "".join([*passed, text[place : len(text) - held]])

    def _may_go_on(self, end: str) -> bool:
        return any(len(one) > len(end) and one.startswith(end) for one in self._secrets)

    def _beginning(self, text: str) -> int:
        """How many characters at the end may be the beginning of a secret."""
        longest = 0
        for secret in self._secrets:
            start = text.find(secret[0], max(0, len(text) - len(secret) + 1))
            while start >= 0 and not secret.startswith(text[start:]):
                start = text.find(secret[0], start + 1)
            longest = max(longest, len(text) - start if start >= 0 else 0)
        return longest


class Redactor:
    """Masks the secrets of one device wherever they stand. Of what holds none, it gives back the very object."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._secrets)))

    def stream(self) -> Redaction:
        """What masks a text that comes in pieces."""
        return Redaction(self._secrets)

    def text(self, text: str) -> str:
        """A text that is complete."""
        masked, count = self._pattern.subn(MASK, text)
        return masked if count else text

    def value(self, value: Any) -> Any:
        """Plain data and paths with their texts masked, those in mappings and lists too; anything else as it is."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is dict:
            pairs = [(self.value(key), self.value(inner)) for key, inner in value.items()]
            same = all(key is old and value[old] is inner for (key, inner), old in zip(pairs, value, strict=True))
            return value if same else dict(pairs)
        if kind in (list, tuple, set, frozenset):
            each = [self.value(inner) for inner in value]
            return value if all(new is old for new, old in zip(each, value, strict=True)) else kind(each)
        if kind is bytes:
            return value if (text := _decoded(value)) == (new := self.text(text)) else new.encode(*_BYTES)
        if isinstance(value, PurePath):
            return value if (text := str(value)) == (new := self.text(text)) else kind(new)
        return value

    def error(self, error: BaseException) -> BaseException:
        """An exception that shows no secret, and nor do those that led to it and those in a group.

        It is the same object with its fields masked, wherever that is enough. Otherwise one of a builtin class with
        the words of the first stands in its place, unless it is no `Exception`: that may be meant for a canceller.
        """
        found = _family(error)
        for one in found:
            self._mask_fields(one)
        stand_ins: dict[int, BaseException] = {}
        for one in found:
            new = self._stand_in(one, stand_ins)
            cause, context, quiet = one.__cause__, one.__context__, one.__suppress_context__
            new.__cause__ = None if cause is None else self._stand_in(cause, stand_ins)
            new.__context__ = None if context is None else self._stand_in(context, stand_ins)
            new.__suppress_context__ = quiet
            new.__traceback__ = one.__traceback__
        return stand_ins[id(error)]

    def _stand_in(self, error: BaseException, known: dict[int, BaseException]) -> BaseException:
        """What is given out for an error whose fields are masked: itself, if it can be shown."""
        found = known.get(id(error))
        if found is None:
            found = error
            if isinstance(error, BaseExceptionGroup):
                each = [self._stand_in(one, known) for one in error.exceptions]
                message = self.text(error.message)
                same = all(new is old for new, old in zip(each, error.exceptions, strict=True))
                if message != error.message or not same:
                    found = BaseExceptionGroup(message, each)  # an ExceptionGroup, if it can be one
            elif isinstance(error, Exception) and self._shows(error):
                found = self._in_place_of(error)
            known[id(error)] = found
        return found

    def _mask_fields(self, error: BaseException) -> None:
        slots = [name for cls in type(error).__mro__ for name, one in vars(cls).items() if type(one) in _SLOTS]
        for name in (*(name for name in slots if not name.startswith("__")), *vars(error)):
            try:
                old = getattr(error, name)
                if (new := self.value(old)) is not old:
                    BaseException.__setattr__(error, name, new)  # also that of a class whose objects are frozen
            except BaseException as broken:  # whoever reads the error gets another one, if this field is shown
                if not is_failure(broken):
                    raise

    def _shows(self, error: BaseException) -> bool:
        try:
            text = f"{error} {error!r} {getattr(error, '__notes__', '')}"
        except BaseException as broken:  # as above: nobody can be shown what cannot be written
            if not is_failure(broken):
                raise
            return False
        return self._pattern.search(text) is not None

    def _in_place_of(self, error: Exception) -> Exception:
        text = self.text(message_of(error))
        if isinstance(error, DeviceLostError):
            return DeviceLostError(error.device_id, text)
        return next(kind for kind in _NEAREST if isinstance(error, kind))(text)


_BYTES: Final = ("utf-8", "surrogateescape")
_SLOTS: Final = (MemberDescriptorType, GetSetDescriptorType)
#: What stands in the place of an error that cannot be masked: the first of these that it is.
_NEAREST: Final = (TimeoutError, ConnectionError, OSError, ValueError, Exception)


def _decoded(raw: bytes) -> str:
    return raw.decode(*_BYTES)


def _family(error: BaseException) -> list[BaseException]:
    """An error, those in it when it is a group, and those that led to any of these; each once."""
    found: dict[int, BaseException] = {}
    ahead: list[BaseException | None] = [error]
    while ahead:
        one = ahead.pop()
        if one is None or id(one) in found:
            continue
        found[id(one)] = one
        ahead += [one.__cause__, one.__context__]
        ahead += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return list(found.values())
