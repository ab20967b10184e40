"""Apps: installed and removed."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

from anyio import to_thread
from attrs import evolve

from galaxy_core import Command
from galaxy_core.errors import TransferError
from galaxy_core.extension.adapter.posix import quote
from galaxy_core.extension.adapter.sources import Sources
from galaxy_core.extension.interfaces import Attempt, Completed, Outcome, Refused
from galaxy_core_adb import requests
from galaxy_core_adb.captured import Captured, capture
from galaxy_core_adb.files import Files
from galaxy_core_adb.texts import one_line

if TYPE_CHECKING:
    from galaxy_core_adb.session import AdbSession

#: From Android 10 on, `pm install` replaces unless it gets -R, which it did not know before (AOSP: PackageManagerShellCommand).
_SDK_OF_R: Final = 29
_MANIFEST: Final = "AndroidManifest.xml"
_OUTPUT_BYTES: Final = 1 << 16


async def install(session: AdbSession, attempt: Attempt, install: requests.Install) -> Outcome:
    """Send the APK, proved equal, install it from there, and remove it.

    Raises:
        AdbFailureError: the device was lost before anything was installed.
    """
    sources = Sources(attempt, session.files_root)
    try:
        await to_thread.run_sync(_check, sources, install.apk, limiter=session.threads)
    except (ValueError, OSError) as error:
        return Refused(f"{install.apk!r} cannot be installed: {sources.why_not(install.apk, error)}")
    path = f"{session.settings.root.rstrip('/')}/.galaxy-{attempt.mark}.apk"
    try:
        copied = await Files(session, attempt.mark, sources).push(install.apk, path, is_passing=True)
    except TransferError as error:
        return Completed(error=error)
    options = f"{_replacing(session, install.replace)}{' -g' if install.grant else ''}"
    script = f"pm install{options} {quote(path)}; s=$?; rm -f {quote(path)}; exit $s"
    said = await capture(session, attempt, Command(None, script), _OUTPUT_BYTES, (path,))
    if not isinstance(said, Captured):
        return said
    stdout, stderr = said.texts
    done = Completed(exit_code=said.exit_code, stdout=stdout, stderr=stderr, metadata={"apk_bytes": copied.size_bytes})
    return judged(done)


def _replacing(session: AdbSession, replace: bool) -> str:
    """To replace an app has to be asked for, or has to be forbidden, depending on the version of Android."""
    if replace:
        return " -r"
    sdk = session.facts.get("sdk", "")
    return " -R" if sdk.isdecimal() and int(sdk) >= _SDK_OF_R else ""


def _check(sources: Sources, path: str) -> None:
    """
    Raises:
        ValueError: it may not be read, or is no app.
        OSError: it cannot be read.
    """
    with sources.open(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"it is no Android app: {error}") from None
    if _MANIFEST not in names:
        raise ValueError(f"it is no Android app: it is an archive without {_MANIFEST}")


def judged(outcome: Outcome) -> Outcome:
    """What `pm` has said: "Success", or "Failure [REASON]", whatever its exit code."""
    if not isinstance(outcome, Completed) or outcome.error is not None:
        return outcome
    text = f"{outcome.stdout or ''}\n{outcome.stderr or ''}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if outcome.exit_code == 0 and "Success" in lines:
        return outcome
    why = next((line for line in lines if line.startswith(("Failure", "Error"))), " ".join(lines))
    return evolve(outcome, error=one_line(why) or "the device does not say that it succeeded")
