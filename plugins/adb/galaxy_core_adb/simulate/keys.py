"""The RSA signatures by which an adb server proves to a phone who it is. Standard library only."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

from attrs import frozen

#: DER of "DigestInfo, SHA-1", which precedes the digest in a PKCS #1 v1.5 signature (RFC 8017, section 9.2).
SHA1_PREFIX: Final = bytes.fromhex("3021300906052b0e03021a05000414")
KEY_BYTES: Final = 256


@frozen
class PublicKey:
    """An RSA key of 2048 bits, as phones keep it (AOSP: libcrypto_utils/android_pubkey.c)."""

    modulus: int
    exponent: int

    @classmethod
    def parse(cls, line: bytes) -> PublicKey:
        """The key in a line of adbkey.pub: base64 of words, n0inv, modulus, rr, exponent, all little-endian.

        Raises:
            ValueError: it is none.
        """
        try:
            raw = base64.b64decode(line.rstrip(b"\0").split(b" ")[0].strip(), validate=True)
        except binascii.Error as error:
            raise ValueError(f"not a key: {error}") from None
        if len(raw) != 12 + 2 * KEY_BYTES or int.from_bytes(raw[:4], "little") * 4 != KEY_BYTES:
            raise ValueError(f"not a key of {KEY_BYTES * 8} bits")
        modulus = int.from_bytes(raw[8 : 8 + KEY_BYTES], "little")
        if modulus % 2 == 0:
            raise ValueError("not a key: its modulus is even")
        return cls(modulus, struct.unpack_from("<I", raw, 8 + 2 * KEY_BYTES)[0])

    def verify(self, token: bytes, signature: bytes) -> bool:
        """Whether `signature` was made for `token`, which adb signs as if it were a SHA-1 digest."""
        if len(signature) != KEY_BYTES:
            return False
        found = pow(int.from_bytes(signature, "big"), self.exponent, self.modulus).to_bytes(KEY_BYTES, "big")
        info = SHA1_PREFIX + token
        return found == b"\0\1" + b"\xff" * (KEY_BYTES - 3 - len(info)) + b"\0" + info
