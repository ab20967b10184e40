"""The messages and the keys of adb's device protocol, as a simulated phone takes them."""

from __future__ import annotations

import base64
import struct

import anyio
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_adb.simulate.keys import PublicKey
from galaxy_core_adb.simulate.services import serve_reboot
from galaxy_core_adb.simulate.stream import HungUpError, Stream
from galaxy_core_adb.simulate.wire import CNXN, HEADER, MAX_PAYLOAD, OKAY, WRTE, Message, NotAdbError, Reader


class Pieces:
    """A stream that gives bytes in pieces of given sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = data
        self._sizes = sizes

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._data:
            raise anyio.EndOfStream
        size = self._sizes.pop() if self._sizes else len(self._data)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


messages = st.builds(
    Message,
    st.sampled_from([CNXN, WRTE]),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.binary(max_size=100),
)


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 40)), st.booleans())
def test_messages_arrive_whole_in_any_pieces(sent: list[Message], sizes: list[int], checksum: bool) -> None:
    async def read() -> list[Message]:
        data = b"".join(message.encode(checksum=checksum) for message in sent)
        reader = Reader(Pieces(data, sizes))  # type: ignore[arg-type]
        found = [await reader.read(checksum=checksum) for _ in sent]
        with pytest.raises(anyio.EndOfStream):
            await reader.read(checksum=checksum)
        return found

    assert anyio.run(read) == sent


@pytest.mark.parametrize(
    "head",
    [
        HEADER.pack(WRTE, 1, 2, 0, 0, 0),
        HEADER.pack(WRTE, 1, 2, MAX_PAYLOAD + 1, 0, WRTE ^ 0xFFFF_FFFF),
        HEADER.pack(WRTE, 1, 2, 3, 7, WRTE ^ 0xFFFF_FFFF) + b"abc",
    ],
    ids=["magic", "size", "checksum"],
)
def test_what_is_no_message_is_refused(head: bytes) -> None:
    async def read() -> None:
        await Reader(Pieces(head, [])).read(checksum=True)  # type: ignore[arg-type]

    with pytest.raises(NotAdbError):
        anyio.run(read)


class Outbox:
    """A link that keeps what its streams send."""

    peer_max = 4

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []

    def send(self, command: int, arg0: int, arg1: int, payload: bytes = b"") -> None:
        self.sent.append((command, payload))

    def forget(self, stream: Stream) -> None:
        pass


@pytest.mark.anyio
async def test_a_piece_leaves_when_the_host_has_taken_the_one_before(anyio_backend: object) -> None:
    link = Outbox()
    stream = Stream(link, 1, 2, "shell:")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"123456789")
        for pieces in ([b"1234"], [b"1234", b"5678"], [b"1234", b"5678", b"9"]):
            await anyio.wait_all_tasks_blocked()
            assert [payload for command, payload in link.sent if command == WRTE] == pieces
            stream.okay()


@pytest.mark.anyio
async def test_a_piece_of_the_host_is_acknowledged_when_it_is_taken(anyio_backend: object) -> None:
    link = Outbox()
    stream = Stream(link, 1, 2, "shell:")
    stream.came(b"piece")
    assert not link.sent
    assert await stream.receive() == b"piece"
    assert link.sent == [(OKAY, b"")]
    stream.hung_up()
    assert await stream.receive() == b""
    with pytest.raises(HungUpError):
        await stream.send(b"more")


class Restarting(Outbox):
    """A link, and its phone, whose answers never leave."""

    online = True
    restarted = False

    async def flushed(self) -> None:
        await anyio.sleep_forever()

    def reboot(self) -> None:
        self.restarted = True


@pytest.mark.anyio
async def test_a_host_that_hangs_up_at_once_has_still_asked_for_the_restart(anyio_backend: object) -> None:
    link = Restarting()
    stream = Stream(link, 1, 2, "reboot:")

    async def serve() -> None:
        with stream.scope:
            await serve_reboot(link, link, stream, None)  # type: ignore[arg-type]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        assert link.sent == [(OKAY, b"")]
        assert not link.restarted
        stream.hung_up()
    assert link.restarted


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public(private: rsa.RSAPrivateKey) -> bytes:
    """A line of adbkey.pub, as adb writes it."""
    modulus = private.public_key().public_numbers().n
    words = struct.pack("<II", 64, (-pow(modulus, -1, 1 << 32)) % (1 << 32))
    words += modulus.to_bytes(256, "little") + pow(1 << 2048, 2, modulus).to_bytes(256, "little")
    return base64.b64encode(words + struct.pack("<I", 65537)) + b" me@here\0"


def test_a_signature_is_known_by_its_key_and_token(private: rsa.RSAPrivateKey) -> None:
    key = PublicKey.parse(public(private))
    token = bytes(range(20))
    signature = private.sign(token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))  # noqa: S303  adb's choice
    assert key.verify(token, signature)
    assert not key.verify(token[::-1], signature)
    assert not key.verify(token, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not key.verify(token, b"")
    other = PublicKey.parse(public(rsa.generate_private_key(65537, 2048)))
    assert not other.verify(token, signature)


@pytest.mark.parametrize("line", [b"", b"no base64!", base64.b64encode(b"short"), base64.b64encode(bytes(524))])
def test_what_is_no_key_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a key"):
        PublicKey.parse(line)
