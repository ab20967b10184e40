"""Recording: a run and the journal that it is kept in."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen

from galaxy_core.errors import JournalError, RunError
from galaxy_core.extension.interfaces import Durability, Journal, JournalWriter, RunInfo
from galaxy_core.extension.registry import PluginRegistry
from galaxy_core.model.device import Device, Discovery, SecretRef
from galaxy_core.model.reasons import shown, text_of
from galaxy_core.model.records import encode
from galaxy_core.model.records.header import Header
from galaxy_core.model.request import Action
from galaxy_core.runtime.artifacts import Artifacts
from galaxy_core.runtime.blaming import blamed
from galaxy_core.runtime.ledger import Ledger
from galaxy_core.runtime.recorder import Recorder
from galaxy_core.runtime.run import Run
from galaxy_core.runtime.whereabouts import current_folder

logger = logging.getLogger("galaxy_core.plugins")

#: Below the folder of a run in its journal: the files that its tasks have brought.
OUTPUTS = "outputs"
#: Names of settings that hold what nobody is to read, should somebody not have written it as a reference.
_SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|credential|api_?key", re.IGNORECASE)


def journal_of(plugins: PluginRegistry, journal: str | Journal | None) -> Journal | None:
    """The journal that is meant, if any is.

    Raises:
        RunError: there is none of that name, or it is no journal.
    """
    if journal is None or isinstance(journal, str):
        return None if journal is None else plugins.journal(journal)
    if not isinstance(journal, Journal):
        raise RunError(f"journal is the name of a journal, or one itself, not {shown(journal)}")
    return journal


@cache
def version() -> str:
    """Of this kernel; an empty text where it was not installed."""
    from importlib import metadata  # costs more than this module, and only runs that are recorded need it

    try:
        return metadata.version("galaxy-core")
    except metadata.PackageNotFoundError:
        return ""


# ----------------------------------------------------------------------------------------------- what it was run with
def plain_setting(value: Any, name: str = "") -> Any:
    """A setting as an inventory file would have it: secrets by reference, never themselves."""
    if isinstance(value, SecretRef):
        kind, _, where = str(value).partition(":")
        return {kind: where}
    if isinstance(value, Mapping):
        return {str(key): plain_setting(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_setting(inner, name) for inner in value]
    return "***" if isinstance(value, str) and _SECRET.search(name) else value


def device_document(device: Device) -> dict[str, Any]:
    """A device as it stands in an inventory file, with its id and the folder from which paths are seen."""
    return {
        "device_id": device.device_id,
        "transport": device.transport,
        "settings": plain_setting(device.settings),
        "device_type": device.device_type,
        "capabilities": sorted(device.capabilities),
        "metadata": plain_setting(device.metadata),
        "max_concurrency": device.max_concurrency,
        "folder": device.folder,
    }


def discovery_document(discovery: Discovery) -> dict[str, Any]:
    """A search for devices as it stands in an inventory file, with its name."""
    return {
        "name": discovery.name,
        "transport": discovery.transport,
        "settings": plain_setting(discovery.settings),
        "device_settings": plain_setting(discovery.device_settings),
        "match": dict(discovery.match),
        "device_type": discovery.device_type,
        "capabilities": sorted(discovery.capabilities),
        "metadata": plain_setting(discovery.metadata),
        "max_concurrency": discovery.max_concurrency,
        "wait_s": discovery.wait_s,
        "folder": discovery.folder,
    }


def required(run: Run) -> dict[str, list[str]]:
    """What a plan and its devices need of plugins."""
    actions = {task._request.name for task in run.constellation._tasks.values() if isinstance(task._request, Action)}
    extensions = run.constellation._metadata.get("extensions")
    return {
        "transports": sorted({lane.device.transport for lane in run.book.lanes.values()}),
        "actions": sorted(actions),
        "extensions": sorted(extensions) if isinstance(extensions, Mapping) else [],
    }


def used_plugins(plugins: PluginRegistry, needs: Mapping[str, list[str]], strategy: str | None) -> dict[str, str]:
    """The versions of the distributions that bring what a run uses."""
    found = {}
    for one in plugins.describe(absent=False):
        uses = (
            {*one.transports} & {*needs["transports"]} or strategy in one.strategies or one.name in needs["extensions"]
        )
        if one.distribution is not None and one.version is not None and uses:
            found[one.distribution] = one.version
    return found


@frozen
class Terms:
    """With what a run is run, apart from its plan."""

    plugins: PluginRegistry
    strategy: str | None
    durability: Durability
    discoveries: Sequence[Discovery] = ()


def _header(run: Run, info: RunInfo, terms: Terms) -> dict[str, Any]:
    needs, source = required(run), info.metadata.get("source")
    devices = [lane.device for lane in run.book.lanes.values()]
    return Header(
        version=version(),
        run_id=info.constellation_id,
        mark=run.mark,
        at=run.wall(),
        durability=terms.durability,
        strategy=terms.strategy,
        plugins=used_plugins(terms.plugins, needs, terms.strategy),
        devices=[device_document(device) for device in devices],
        discoveries=[discovery_document(discovery) for discovery in terms.discoveries],
        metadata=info.metadata,
        source=source if isinstance(source, Mapping) else None,
        requires=needs,
        folder=current_folder(),
    ).to_dict()


# ----------------------------------------------------------------------------------------------- recording
@asynccontextmanager
async def recorded(journal: Journal | None, run: Run, info: RunInfo, terms: Terms) -> AsyncIterator[None]:
    """Keep in `journal`, if there is one, what becomes of a run inside.

    Raises:
        RunError: the journal cannot be opened, written to or closed; its error is chained.
    """
    if journal is None:
        yield
        return
    run_id, header = info.constellation_id, _header(run, info, terms)
    async with opening(journal, lambda: journal.open(info), run_id) as writer:
        ledger = ledger_of(journal, run, writer, terms.durability)
        ledger.note(encode.header, header)
        async with kept(run, ledger):
            yield


@asynccontextmanager
async def opening(
    journal: Journal, open_it: Callable[[], AbstractAsyncContextManager[JournalWriter]], run_id: str
) -> AsyncIterator[JournalWriter]:
    """A writer, while inside. Whatever the journal raises names it; what is raised inside goes before that.

    Raises:
        JournalError: it cannot be opened or closed; its error is chained.
    """
    with _blaming("open", journal, run_id):
        opened = open_it()
        writer = await opened.__aenter__()
    try:
        yield writer
    except BaseException as error:
        try:
            with _blaming("close", journal, run_id):
                await opened.__aexit__(type(error), error, error.__traceback__)
        except RunError as broken:  # the log receives it: the caller hears of what came first
            logger.error("%s", broken, exc_info=broken)  # noqa: TRY400  the journal's trouble, not the run's
        raise
    with _blaming("close", journal, run_id):
        await opened.__aexit__(None, None, None)


def ledger_of(journal: Journal, run: Run, writer: JournalWriter, durability: Durability, first: int = 0) -> Ledger:
    """The ledger of a run whose journal is open, which goes on with record `first`."""
    told: list[str] = []

    def lost(what: str) -> None:
        if not told:
            logger.warning(
                "run %r: %s cannot be kept by its journal; who resumes the run will not have it (said once a run)",
                run.constellation.constellation_id,
                what,
            )
        told.append("")

    ledger = Ledger(journal.name, run.constellation.constellation_id, writer, durability, first=first, lost=lost)
    place = getattr(journal, "folder", None)
    ledger.place = os.fspath(place) if isinstance(place, str | Path) else None
    run.ledger = ledger
    run.recorder = recorder = Recorder(run.constellation, ledger)
    recorder.on_resolved = run.settler.markers.resolved
    ledger.pending, ledger.failed, ledger.post = recorder.flush, run.journal_failed, run.reports.post
    run.reports.post = ledger.tell
    if ledger.folder is not None and not run.artifacts.has_root:
        run.artifacts = Artifacts(ledger.run_id, folder=ledger.folder / OUTPUTS)
    return ledger


def record_beginning(run: Run) -> None:
    """A run is about to execute: note its plan, if it is a new one, and hear what becomes of it."""
    if run.recorder is None or run.ledger is None:
        return
    plan, ledger = run.constellation, run.ledger
    if run.opened is None:
        for line in encode.whole_plan(ledger.count, plan, ledger.keeper):
            ledger.note(lambda n, line=line: line)
    else:
        told = (run.opened, plan, ledger.keeper, current_folder())
        ledger.note(encode.opened, ledger.epoch, run.mark, run.wall(), version(), *told)
    run.recorder.hear()


@asynccontextmanager
async def kept(run: Run, ledger: Ledger) -> AsyncIterator[None]:
    """Have a ledger written while inside, to its end.

    Raises:
        JournalFailedError: it failed.
        JournalError: it was too slow to keep everything.
    """
    failure: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(ledger.run)
        try:
            yield
        except Exception as error:  # whoever is outside receives it, not in a group
            failure = error
        finally:
            run.constellation._recorder = None
            await ledger.close()
            run.settler.markers.release_kept()
    if failure is not None:
        raise failure
    ledger.check_run(*run.how_it_was_left())


@contextmanager
def _blaming(what: str, journal: Journal, run_id: str) -> Iterator[None]:
    """Whatever a journal raises that is no error of journals already, says whose it is."""
    try:
        yield
    except JournalError:
        raise
    except BaseException as error:  # the caller of the run receives it, as the cause
        failure = blamed(error, "journal", journal.name)
        why = f"run of {run_id!r} cannot {what} journal {journal.name!r}: {text_of(failure)}"
        raise JournalError(why) from failure
