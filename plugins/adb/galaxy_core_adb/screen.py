"""What a device shows, and what it logs: as files of the result."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from galaxy_core import Command
from galaxy_core.extension.adapter.folder import create, explain
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused
from galaxy_core_adb import requests
from galaxy_core_adb.captured import Captured, capture

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_END: Final = b"\0\0\0\0IEND\xae\x42\x60\x82"
_USUAL_LINES: Final = 1000


async def screenshot(session: AdbSession, attempt: Attempt, request: requests.Screenshot) -> Outcome:
    """A picture that is whole. The value has `width`, `height` and `size_bytes`."""
    place = _place(session, attempt, request.name)
    if isinstance(place, Refused):
        return place
    cap = session.settings.artifact_cap_bytes
    said = await capture(session, attempt, Command(["screencap", "-p"]), cap)
    if not isinstance(said, Captured):
        return said
    picture = said.stdout.kept
    if said.exit_code != 0:
        return said.failed()
    if said.stdout.is_cut:
        return said.failed(f"the picture has {said.stdout.size} bytes, more than artifact_cap_bytes ({cap})")
    if not picture.startswith(_SIGNATURE) or not picture.endswith(_END) or picture[12:16] != b"IHDR":
        return said.failed(f"the device sent {len(picture)} bytes that are no whole PNG picture")
    width, height = struct.unpack_from(">II", picture, 16)
    value = {"width": width, "height": height, "size_bytes": len(picture)}
    return await _kept(session, place, picture, Completed(value=value, exit_code=0, files={request.name: str(place)}))


async def logcat(session: AdbSession, attempt: Attempt, request: requests.Logcat) -> Outcome:
    """What is in the log. The value has `lines` and `size_bytes`; the beginning of it is the standard output."""
    place = _place(session, attempt, request.name)
    if isinstance(place, Refused):
        return place
    since = ["-T", request.since] if request.since is not None else ["-t", str(request.lines or _USUAL_LINES)]
    words = ["logcat", "-d", "-v", "threadtime", *since, *request.filters]
    said = await capture(session, attempt, Command(words), session.settings.artifact_cap_bytes)
    if not isinstance(said, Captured):
        return said
    if said.exit_code != 0:
        return said.failed()
    log, cap = said.stdout.kept, session.settings.output_cap_bytes
    value: dict[str, Any] = {"lines": log.count(b"\n"), "size_bytes": len(log)}
    head = log[:cap].decode(errors="replace")
    metadata: dict[str, Any] = {"stdout_bytes": said.stdout.size}
    is_cut = len(log) > cap or said.stdout.is_cut
    if is_cut:
        metadata["stdout_kept_bytes"] = min(len(log), cap)
    done = Completed(value, 0, head, files={request.name: str(place)}, metadata=metadata, truncated=is_cut)
    return await _kept(session, place, log, done)


def _place(session: AdbSession, attempt: Attempt, name: str) -> Path | Refused:
    try:
        return Sources(attempt, session.files_root).target(name)
    except ValueError as error:
        return Refused(str(error))


async def _kept(session: AdbSession, place: Path, data: bytes, done: Completed) -> Completed:
    def write() -> None:
        part = place.with_name(f".{place.name[:80]}.part")
        try:
            with create(part) as file:
                file.write(data)
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)

    try:
        await to_thread.run_sync(write, limiter=session.threads)
    except OSError as error:
        return Completed(exit_code=0, error=f"{place.name!r} could not be written here: {explain(error)}")
    return done
