"""One HTTP connection of a client: authentication, sealing, and what goes wrong on it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import h11
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from galaxy_core_winrm.simulate import sealing
from galaxy_core_winrm.simulate.fault_codes import FaultError, envelope_too_large
from galaxy_core_winrm.simulate.misbehaviour import Misbehaviour, Occasion, Switch
from galaxy_core_winrm.simulate.sealing import Sealing
from galaxy_core_winrm.simulate.soap import Request, envelope
from galaxy_core_winrm.simulate.users import Users

Work = Callable[[Request, str, int], Awaitable[tuple[str, bool]]]
_PLAIN = "application/soap+xml;charset=UTF-8"
_TRICKLED = 64


class _Closed(Exception):  # noqa: N818  a way out, no error
    """The connection is to be closed now."""


class Connection:
    """Serves one connection until it is closed. `number` tells it from others of its host."""

    def __init__(
        self,
        stream: anyio.abc.ByteStream,
        number: int,
        *,
        work: Work,
        users: Users,
        misbehaviour: Misbehaviour,
        bindings: GssChannelBindings | None,
        is_tls: bool,
        envelope_bytes: Callable[[], int],
    ) -> None:
        self._stream, self._number, self._work = stream, number, work
        self._users, self._misbehaviour, self._bindings, self._is_tls = users, misbehaviour, bindings, is_tls
        self._envelope_bytes = envelope_bytes
        self._http = h11.Connection(h11.SERVER)
        self._sealing = Sealing(users, bindings)
        self._served = 0

    async def serve(self) -> None:
        """Answer requests until the client, or a fault, ends the connection."""
        try:
            while True:
                head = await self._event()
                if not isinstance(head, h11.Request):
                    return
                body = bytearray()
                while isinstance(event := await self._event(), h11.Data):
                    body += event.data
                if not isinstance(event, h11.EndOfMessage):
                    return
                await self._misbehaviour.thawed()
                await self._respond(head, bytes(body))
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
        except (_Closed, h11.ProtocolError, anyio.BrokenResourceError, anyio.EndOfStream):
            return

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await self._misbehaviour.thawed()
            try:
                self._http.receive_data(await self._stream.receive())
            except anyio.EndOfStream:
                self._http.receive_data(b"")
        assert event is not h11.NEED_DATA
        return event  # type: ignore[return-value]  # NEED_DATA is a class of its own, which the loop has excluded

    # -------------------------------------------------------------------------------------------------- authentication
    async def _respond(self, head: h11.Request, body: bytes) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
        if head.method != b"POST" or not head.target.split(b"?")[0].rstrip(b"/").endswith(b"/wsman"):
            await self._send(404 if head.method == b"POST" else 405, {})
            return
        authorization = headers.get("authorization", "")
        scheme = authorization.partition(" ")[0].lower()
        if self._misbehaviour.locked and scheme not in sealing.SCHEMES:
            await self._refuse()
        elif scheme == "basic":
            await self._with_basic(authorization, body)
        elif scheme in sealing.SCHEMES:
            await self._with_token(authorization, body, headers)
        elif self._sealing.complete:
            await self._with_context(body, headers)
        else:
            await self._refuse()

    async def _refuse(self) -> None:
        """Say how one may log on. Basic is not offered without TLS, as Windows has it by default."""
        offers = ["Negotiate", "NTLM", *(['Basic realm="WSMAN"'] if self._is_tls else [])]
        await self._send(401, {"WWW-Authenticate": ", ".join(offers)} if len(offers) == 1 else {}, offers=offers)

    async def _with_basic(self, authorization: str, body: bytes) -> None:
        user = self._users.accepts_basic(authorization.partition(" ")[2].strip()) if self._is_tls else None
        if user is None:
            await self._refuse()
        else:
            await self._work_on(body, user, sealed=False)

    async def _with_token(self, authorization: str, body: bytes, headers: dict[str, str]) -> None:
        if not await self._spared(Occasion("Handshake", "before", served=self._served)):
            return
        try:
            token = self._sealing.step(authorization)
        except (SpnegoError, ValueError):
            self._sealing = Sealing(self._users, self._bindings)
            await self._refuse()
            return
        if not self._sealing.complete:
            await self._send(401, {"WWW-Authenticate": token or ""})
        elif self._misbehaviour.locked:
            # As with a password that was changed: the challenge is given to everyone.
            await self._shut_out(None)
        elif body:
            await self._with_context(body, headers, token)
        else:
            await self._send(200, {"WWW-Authenticate": token} if token else {})

    async def _with_context(self, body: bytes, headers: dict[str, str], token: str | None = None) -> None:
        sealed = "multipart/encrypted" in headers.get("content-type", "")
        if not sealed and not self._is_tls:
            # AllowUnencrypted=false: Windows closes with 500 and no envelope.
            await self._send(500, {})
            return
        if sealed:
            try:
                body = self._sealing.open(body)
            except (SpnegoError, ValueError):
                # A message out of order, or sealed with the keys of another connection.
                await self._send(400, {})
                raise _Closed from None
        await self._work_on(body, self._sealing.user, sealed=sealed, token=token)

    # ------------------------------------------------------------------------------------------------------------ work
    async def _work_on(self, body: bytes, user: str, *, sealed: bool, token: str | None = None) -> None:
        try:
            request = Request.parse(body)
        except ValueError:
            await self._send(400, {})
            return
        if not await self._spared(Occasion(request.verb, "before", served=self._served)):
            return
        self._served += 1
        done, status = False, 200
        try:
            if len(body) > self._envelope_bytes():
                raise envelope_too_large(self._envelope_bytes())
            answer, done = await self._worked(request, user)
        except FaultError as fault:
            answer, status = fault.body, 500
        except ValueError:
            await self._send(400, {})
            return
        switch = self._misbehaviour.at(Occasion(request.verb, "after", done=done, served=self._served))
        await self._misbehaviour.thawed()
        if switch and switch.kind == "lock":
            await self._shut_out(switch)
            return
        text = envelope(
            request.verb, _WRONG if switch and switch.kind == "wrong_relates_to" else request.message_id, answer
        )
        if switch and switch.kind == "garble":
            text = os.urandom(len(text))
        headers = {"WWW-Authenticate": token} if token else {}
        if sealed:
            headers["Content-Type"] = sealing.CONTENT_TYPE
            text = self._sealing.seal(text, forged=bool(switch and switch.kind == "bad_mic"))
        else:
            headers["Content-Type"] = _PLAIN
        await self._send(status, headers, text, switch=switch)

    async def _worked(self, request: Request, user: str) -> tuple[str, bool]:
        """Do the work; a Receive that waits for output is given up when its client hangs up."""
        if request.verb != "Receive":
            return await self._work(request, user, self._number)
        found: list[tuple[str, bool]] = []
        error: FaultError | ValueError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, tasks.cancel_scope)
            try:
                found.append(await self._work(request, user, self._number))
            except (FaultError, ValueError) as raised:
                error = raised
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error
        if not found:
            raise _Closed
        return found[0]

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """Cancel when the client hangs up. What it says meanwhile is for later."""
        try:
            while True:
                self._http.receive_data(await self._stream.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            scope.cancel()

    async def _spared(self, occasion: Occasion) -> bool:
        """Do what a switch that strikes before the work does; False when the request is done with."""
        switch = self._misbehaviour.at(occasion)
        match switch.kind if switch else "":
            case "":
                return True
            case "late":
                assert switch is not None
                await anyio.sleep(switch.amount)
                return True
            case "freeze":
                self._misbehaviour.freeze()
                await self._misbehaviour.thawed()
                return True
            case "http":
                assert switch is not None
                await self._send(int(switch.amount), {})
                return False
            case "lock" if occasion.verb == "Handshake":
                self._misbehaviour.locked = True
                return True
            case "unauthorized" | "lock":
                await self._shut_out(switch)
                return False
        await self._end(switch)
        return False

    async def _shut_out(self, switch: Switch | None) -> None:
        self._misbehaviour.locked = self._misbehaviour.locked or (switch is not None and switch.kind == "lock")
        self._sealing = Sealing(self._users, self._bindings)
        await self._refuse()

    async def _end(self, switch: Switch | None) -> None:
        """Close the connection, as soon as the switch lets it."""
        if switch is not None and switch.kind == "hang":
            await self._misbehaviour.healed()
        elif switch is not None and switch.kind == "die":
            self._misbehaviour.die()
        raise _Closed

    # ------------------------------------------------------------------------------------------------------------ wire
    async def _send(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes = b"",
        *,
        offers: list[str] | None = None,
        switch: Switch | None = None,
    ) -> None:
        every = [*headers.items(), ("Server", "Microsoft-HTTPAPI/2.0"), ("Content-Length", str(len(body)))]
        if offers:
            every = [("WWW-Authenticate", offer) for offer in offers] + every[len(headers) :]
        events = (h11.Response(status_code=status, headers=every, reason=b"-"), h11.Data(data=body), h11.EndOfMessage())
        data = b"".join(self._http.send(event) or b"" for event in events)
        if switch is None:
            await self._stream.send(data)
            return
        match switch.kind:
            case "hang" | "drop" | "die":
                await self._end(switch)
            case "truncate":
                await self._stream.send(data[: int(switch.amount)])
                raise _Closed
            case "late":
                await anyio.sleep(switch.amount)
                await self._stream.send(data)
            case "freeze":
                self._misbehaviour.freeze()
                await self._misbehaviour.thawed()
                await self._stream.send(data)
            case "trickle":
                for at in range(0, len(data), _TRICKLED):
                    await self._stream.send(data[at : at + _TRICKLED])
                    await anyio.sleep(switch.amount)
            case "duplicate":
                await self._stream.send(data * 2)
            case _:
                await self._stream.send(data)


_WRONG = "uuid:00000000-0000-0000-0000-000000000000"
