"""Clauses: methods of a contract that ask one thing each, and say what to look at when they fail."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Final, TypeVar, cast

import anyio
import pytest
from attrs import frozen

from galaxy_core.testing.contract import hanging

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
Asked = Callable[..., Any]
_MARK: Final = "__clause__"


class NotAskedError(Exception):
    """A clause cannot be asked of what stands here; the message says why, such as "declares no 'stops'"."""


def as_context(opened: AbstractAsyncContextManager[T]) -> AbstractAsyncContextManager[T]:
    """What `open` returned, if it can be entered."""
    told = f"`open` returned {type(opened).__name__}, which cannot be entered; put @asynccontextmanager above it"
    assert isinstance(opened, AbstractAsyncContextManager), told
    return opened


@frozen
class Clause:
    """One thing that a contract asks.

    `name` is that of the test, `says` the same as a sentence; `needs` are what its subject has to declare, or it is
    skipped. `given` are the arguments of one case of a clause that asks the same of many, such as a cell of the matrix.
    """

    name: str
    says: str
    look_at: str
    needs: tuple[str, ...]
    function: Callable[..., Any]
    contract: type[Any]
    given: Mapping[str, Any]

    async def check(self, **subjects: Any) -> None:
        """Ask it, outside of pytest; `subjects` are what the contract's fixtures would have supplied.

        Raises:
            NotAskedError: it cannot be asked of them.
            AssertionError: it does not hold, or whatever else came out.
        """
        answer = self.function(self.contract(), **subjects, **self.given)
        if isawaitable(answer):
            await answer


@frozen
class _Marked:
    """What the decorator leaves on a method: what `Clause` needs, and the function without pytest's part."""

    look_at: str
    needs: tuple[str, ...]
    bare: Callable[..., Any]
    each: tuple[str, Sequence[Any]] | None


def clause(
    look_at: str, *, needs: Sequence[str] = (), each: tuple[str, Sequence[Any]] | None = None
) -> Callable[[F], F]:
    """Make a clause of a method whose name is a sentence that begins with ``test_``.

    When it fails, its error gets a note: the clause, what was seen (`subject.seen`, if it has that), and `look_at`.
    `needs` are passed to `subject.lacks(need)`, which says why it cannot be asked, or None. `each` is the name of an
    argument and its values: the clause is asked once for each (see `Contract.pytest_generate_tests`).
    """

    def mark(method: F) -> F:
        bare, test = (_waiting if iscoroutinefunction(method) else _plain)(method, needs, look_at)
        setattr(test, _MARK, _Marked(look_at, tuple(needs), bare, each))
        return cast(F, test)

    return mark


def _waiting(method: Asked, needs: Sequence[str], look_at: str) -> tuple[Asked, Asked]:
    """The clause of an `async def` without and with pytest's part."""

    @functools.wraps(method)
    async def bare(*args: Any, **subjects: Any) -> None:
        with _asking(method.__name__, _first(args, subjects), needs, look_at):
            with anyio.move_on_after(hanging.CLAUSE_S) as scope:
                await method(*args, **subjects)
            assert not scope.cancelled_caught, f"it had not ended after {hanging.CLAUSE_S:g} s, and was cancelled"

    @functools.wraps(method)
    async def test(*args: Any, **subjects: Any) -> None:
        try:
            await bare(*args, **subjects)
        except NotAskedError as why:
            pytest.skip(str(why))

    return bare, test


def _plain(method: Asked, needs: Sequence[str], look_at: str) -> tuple[Asked, Asked]:
    """The same of a `def`."""

    @functools.wraps(method)
    def bare(*args: Any, **subjects: Any) -> None:
        with _asking(method.__name__, _first(args, subjects), needs, look_at):
            method(*args, **subjects)

    @functools.wraps(method)
    def test(*args: Any, **subjects: Any) -> None:
        try:
            bare(*args, **subjects)
        except NotAskedError as why:
            pytest.skip(str(why))

    return bare, test


@contextmanager
def _asking(name: str, subject: Any, needs: Sequence[str], look_at: str) -> Iterator[None]:
    """Asks whether it may be asked; what comes out gets its note; tidies."""
    for need in needs:
        if (why := subject.lacks(need)) is not None:
            raise NotAskedError(why)

    def seen() -> str:
        return "; ".join(getattr(subject, "seen", ())) or "nothing ran"

    try:
        with hanging.told_when_it_hangs(_sentence(name), seen, look_at):
            yield
    except NotAskedError:
        raise
    except Exception as error:
        error.add_note(f"clause: {_sentence(name)} | seen: {seen()} | look at: {look_at}")
        raise
    finally:
        if (tidy := getattr(subject, "tidy", None)) is not None:
            tidy()


class Contract:
    """What all contracts share: how clauses become tests."""

    @pytest.fixture(autouse=True)
    def _hangs_are_told(self, request: pytest.FixtureRequest) -> None:
        """A clause that hangs says so where it is seen at once."""
        hanging.hear(request.config)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test for each case of a clause that has cases."""
        marked: _Marked | None = getattr(metafunc.function, _MARK, None)
        if marked is not None and marked.each is not None:
            argument, values = marked.each
            metafunc.parametrize(argument, self.cases_of(argument, values), ids=str)

    def cases_of(self, argument: str, values: Sequence[Any]) -> Sequence[Any]:
        """Which cases are tests of their own, of those that there are."""
        return values


def clauses_of(contract: type[Any]) -> tuple[Clause, ...]:
    """Every clause of a contract, in the order in which they are written; one for each case of those that have cases."""
    return tuple(_clauses(contract))


def _clauses(contract: type[Any]) -> Iterator[Clause]:
    names = dict.fromkeys(name for base in reversed(contract.__mro__) for name in vars(base))
    for name in names:
        marked = getattr(getattr(contract, name), _MARK, None)
        if marked is None:
            continue
        says = _sentence(name)
        if marked.each is None:
            yield Clause(name, says, marked.look_at, marked.needs, marked.bare, contract, {})
            continue
        argument, values = marked.each
        for value in values:
            told = f"{says} [{value}]"
            yield Clause(
                f"{name}[{value}]", told, marked.look_at, marked.needs, marked.bare, contract, {argument: value}
            )


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _first(args: Sequence[Any], subjects: Mapping[str, Any]) -> Any:
    """What the clause is about: its first argument beside the contract."""
    return args[1] if len(args) > 1 else next(iter(subjects.values()), None)
