"""A session whose words are free of its device's secrets; only devices that have some get one."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Any

from attrs import evolve

from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, OutputSink, Refused, Session, Unknown
from galaxy_core.extension.redaction import Redaction, Redactor
from galaxy_core.runtime.answers import awaitable, left_behind, sound


class MaskedSession:
    """Passes everything on to a session, and masks what that says, returns and raises.

    The paths of files are left as they are: they are where the kernel has put them.
    """

    def __init__(self, session: Session, redactor: Redactor, transport: str, logger: Logger) -> None:
        self._session = session
        self._redactor = redactor
        self._transport = transport
        self._logger = logger

    @property
    def facts(self) -> Any:
        """As the session's; whoever keeps them masks them."""
        return getattr(self._session, "facts", None)

    async def execute(self, attempt: Attempt, /) -> Outcome:
        """As the session, but with secrets masked in the outcome, in what is left behind and in output as it comes."""
        listener = attempt._output
        output = None if listener is None else _MaskedOutput(listener, self._redactor)
        attempt._output = output  # for good: what comes late is masked, too
        failure: BaseException | None = None
        try:
            outcome = await awaitable(self._session.execute(attempt), self._transport)
        except BaseException as error:  # whoever called receives it
            failure = self._redactor.error(error)
        if output is not None:
            output.finish(attempt)
        attempt.partial = self._left_behind(attempt)
        if failure is not None:  # raised here, because in there the first one would be its context
            raise failure
        return self._masked(sound(outcome, self._transport))

    async def expect(self, run_mark: str, /) -> None:
        """See `SessionThatSettles`: what may be there."""
        if (expect := getattr(self._session, "expect", None)) is not None:
            await expect(run_mark)

    async def settle(self, attempt: Attempt, /) -> Outcome:
        """As the session, but with secrets masked in the outcome and in what is left behind."""
        failure: BaseException | None = None
        try:
            outcome = await awaitable(self._session.settle(attempt), self._transport)  # type: ignore[attr-defined]
        except BaseException as error:  # whoever called receives it
            failure = self._redactor.error(error)
        attempt.partial = self._left_behind(attempt)
        if failure is not None:
            raise failure
        return self._masked(sound(outcome, self._transport))

    async def stop(self, attempt: Attempt, /) -> None:
        """As the session, but with secrets masked in what is left behind."""
        failure: BaseException | None = None
        try:
            await self._session.stop(attempt)  # type: ignore[attr-defined]  # asked for only where it is declared
        except BaseException as error:  # as above
            failure = self._redactor.error(error)
        attempt.partial = self._left_behind(attempt)
        if failure is not None:
            raise failure

    def lets_go(self, attempt: Attempt, /) -> bool:
        """As the session, if it can say."""
        lets_go = getattr(self._session, "lets_go", None)
        return lets_go is not None and bool(lets_go(attempt))

    def release(self, mark: str, /) -> None:
        """As the session."""
        self._session.release(mark)  # type: ignore[attr-defined]  # as above

    async def probe(self) -> Mapping[str, str]:
        """As the session, but with secrets masked in the facts."""
        mask = self._redactor.text
        try:
            return {mask(str(name)): mask(str(value)) for name, value in (await self._session.probe()).items()}
        except BaseException as error:  # as above
            failure = self._redactor.error(error)
        raise failure

    def _left_behind(self, attempt: Attempt) -> Completed | Unknown | None:
        said = left_behind(attempt, self._transport, self._logger, self._redactor.text)
        return None if said is None else self._masked(said)  # type: ignore[return-value]  # it is of the same kind

    def _masked(self, outcome: Outcome) -> Outcome:
        redactor = self._redactor
        if isinstance(outcome, Refused):
            return Refused(redactor.text(outcome.reason))
        if isinstance(outcome, Unknown):
            said = None if outcome.said is None else self._masked(outcome.said)
            return Unknown(redactor.text(outcome.reason), said)  # type: ignore[arg-type]  # it is of the same kind
        error = outcome.error
        changes: dict[str, Any] = {
            name: redactor.value(getattr(outcome, name)) for name in ("value", "stdout", "stderr", "metadata")
        }
        changes["error"] = redactor.error(error) if isinstance(error, BaseException) else redactor.value(error)
        return evolve(outcome, **changes)


class _MaskedOutput:
    """Masks output as it comes, each stream for itself."""

    def __init__(self, listener: OutputSink, redactor: Redactor) -> None:
        self._listener = listener
        self._redactor = redactor
        self._streams: dict[str, Redaction] = {}

    def __call__(self, attempt: Attempt, stream: str, text: str, /) -> None:
        if not isinstance(text, str):  # a mistake, and the listener's to judge
            self._listener(attempt, stream, self._redactor.value(text))
            return
        redaction = self._streams.get(stream)
        if redaction is None:
            redaction = self._streams[stream] = self._redactor.stream()
        if shown := redaction.feed(text):
            self._listener(attempt, stream, shown)

    def finish(self, attempt: Attempt) -> None:
        """Pass on what was held back."""
        for stream, redaction in self._streams.items():
            if rest := redaction.feed("", final=True):
                self._listener(attempt, stream, rest)
