"""A command of the phone, for scripts that run in this machine's /bin/sh: asks the phone, which does it.

Run as a file of its own, by a Python without site-packages: `stub.py NAME ARGUMENTS…`.
"""

import json
import os
import socket
import sys


def main() -> int:
    """The exit status of the phone's command."""
    phone = socket.socket(socket.AF_UNIX)
    try:
        phone.connect("\0" + os.environ["GALAXY_PHONE"])
    except (KeyError, OSError) as error:
        sys.stderr.write(f"{sys.argv[1]}: the phone is gone: {error!r}\n")
        return 127
    with phone, phone.makefile("rb") as answers:
        phone.sendall(json.dumps([os.getcwd(), *sys.argv[1:]]).encode() + b"\n")
        while True:
            kind, size = answers.read(1), int.from_bytes(answers.read(4), "little")
            if kind in (b"O", b"E"):
                _write(1 if kind == b"O" else 2, answers.read(size))
            elif kind == b"I":
                data = os.read(0, min(size, 65_536))
                phone.sendall(len(data).to_bytes(4, "little") + data)
            else:
                return size if kind == b"X" else 127


def _write(where: int, data: bytes) -> None:
    while data:
        data = data[os.write(where, data) :]


if __name__ == "__main__":
    sys.exit(main())
