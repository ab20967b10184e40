"""The switches by which a simulated host misbehaves, and where each of them strikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import anyio
from attrs import define, field, frozen

Kind = Literal[
    "hang",
    "drop",
    "http",
    "truncate",
    "wrong_relates_to",
    "garble",
    "bad_mic",
    "trickle",
    "duplicate",
    "late",
    "unauthorized",
    "lock",
    "freeze",
    "die",
]
#: Where a request stands: read, or worked on and about to be answered.
Stage = Literal["before", "after"]


@frozen
class Occasion:
    """A request, at a stage.

    `verb` is "Handshake" for a request that carries a token and no work. `done` says of a Receive, after its work, whether
    it tells the end of its command. `served` counts the requests of the connection before it.
    """

    verb: str
    stage: Stage
    done: bool = False
    served: int = 0


@frozen
class Switch:
    """`amount` is a status, a number of bytes or seconds, as the kind has it."""

    kind: Kind
    strikes: Callable[[Occasion], bool]
    amount: float = 0


@define
class Misbehaviour:
    """What a host does wrong until `heal`. Several switches may be on; the first that strikes an occasion counts.

    `die` ends the host; it is called when a switch says so.
    """

    die: Callable[[], None]

    switches: list[Switch] = field(factory=list)
    #: Bytes that the next Receive that strikes finds in the standard output of its command, and whether they are no text.
    flood_bytes: int = 0
    flood_binary: bool = False
    flood_at_end: bool = False
    full_disk: bool = False
    #: Nobody is let in any more, and who is in is put out.
    locked: bool = False
    _thawed: anyio.Event | None = None
    _healed: anyio.Event = field(factory=anyio.Event)

    @property
    def is_on(self) -> bool:
        return bool(self.switches or self.flood_bytes)

    def at(self, occasion: Occasion) -> Switch | None:
        return next((each for each in self.switches if each.strikes(occasion)), None)

    # ------------------------------------------------------------------------------------------ what tests switch on
    def hang(self, verb: str) -> None:
        """Requests of that verb are taken and never answered, and nothing is done for them; "*" are all."""
        self._add("hang", verb, "before")

    def drop_before(self, verb: str) -> None:
        """The connection is closed when such a request is there, and nothing is done for it."""
        self._add("drop", verb, "before")

    def drop_after_work(self, verb: str) -> None:
        """The connection is closed when the work of such a request is done, without an answer."""
        self._add("drop", verb, "after")

    def http(self, status: int, verb: str = "*") -> None:
        """Such requests are answered with that status and no envelope, and nothing is done for them."""
        self._add("http", verb, "before", status)

    def truncate(self, size_bytes: int, verb: str = "*") -> None:
        """Of the answer, headers and all, only so many bytes leave; then the connection is closed."""
        self._add("truncate", verb, "after", size_bytes)

    def wrong_relates_to(self, verb: str = "*") -> None:
        self._add("wrong_relates_to", verb, "after")

    def garble(self, verb: str = "*") -> None:
        """Answers are noise of their own length."""
        self._add("garble", verb, "after")

    def bad_mic(self, verb: str = "*") -> None:
        """The signature of sealed answers is wrong; on a connection without sealing, nothing changes."""
        self._add("bad_mic", verb, "after")

    def trickle(self, pause_s: float = 0.001, verb: str = "*") -> None:
        """Answers leave in pieces of a few bytes."""
        self._add("trickle", verb, "after", pause_s)

    def late(self, verb: str, after_s: float) -> None:
        """The work is done at once, and answered so much later."""
        self._add("late", verb, "after", after_s)

    def duplicate(self, verb: str = "*") -> None:
        """The same answer leaves twice."""
        self._add("duplicate", verb, "after")

    def unauthorized_after(self, requests: int) -> None:
        """A connection that has been served so many requests is told 401 from then on."""
        self.switches.append(
            Switch("unauthorized", lambda it: it.stage == "before" and it.verb != "Handshake" and it.served >= requests)
        )

    def flood(self, size_bytes: int, *, binary: bool = False, at_end: bool = False) -> None:
        """One command says so much on its standard output that it never said."""
        self.flood_bytes, self.flood_binary, self.flood_at_end = size_bytes, binary, at_end

    def freeze(self) -> None:
        """Connections are taken, and nothing is read or said on any; processes run on."""
        self._thawed = self._thawed or anyio.Event()

    def heal(self) -> None:
        self.switches.clear()
        self.flood_bytes, self.full_disk, self.locked = 0, False, False
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None
        self._healed.set()
        self._healed = anyio.Event()

    # ---------------------------------------------------------------------------------------------- what the host asks
    async def thawed(self) -> None:
        """Wait while frozen."""
        if self._thawed is not None:
            await self._thawed.wait()

    async def healed(self) -> None:
        """Wait for the next `heal`."""
        await self._healed.wait()

    def noise(self, *, done: bool) -> bytes:
        """What to add to the output of a command; once."""
        if not self.flood_bytes or (self.flood_at_end and not done):
            return b""
        size, self.flood_bytes = self.flood_bytes, 0
        piece = b"\xff\xfe\x00\x80\xc3(" if self.flood_binary else b"flood \r\n"
        return (piece * (size // len(piece) + 1))[:size]

    def _add(self, kind: Kind, verb: str, stage: Stage, amount: float = 0) -> None:
        def strikes(it: Occasion) -> bool:
            return it.stage == stage and (it.verb == verb or (verb == "*" and it.verb != "Handshake"))

        self.switches.append(Switch(kind, strikes, amount))
