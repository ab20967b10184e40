"""A run from its order to its report and exit code, whether it is a new one or one that goes on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen
from rich.console import Console

from galaxy_core import TaskConstellation
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.options import State
from galaxy_core_cli.running.conduct import Order, conduct
from galaxy_core_cli.running.ending import Ending
from galaxy_core_cli.running.jsonl import JsonReporter, encoded, error_document
from galaxy_core_cli.running.keeping import refusal
from galaxy_core_cli.running.kill import branded, dying_at_quit
from galaxy_core_cli.running.live import LiveReporter
from galaxy_core_cli.running.picture import signs_for
from galaxy_core_cli.running.plain import PlainReporter
from galaxy_core_cli.running.reporter import Reporter
from galaxy_core_cli.running.summary import OUTPUT_LINES, outputs, summary
from galaxy_core_cli.streams import Lines, is_terminal


@frozen
class View:
    """How a run is shown and conducted, as the options say."""

    json: bool = False
    plain: bool = False
    output: bool = False
    artifacts: str | None = None
    backend: str = "asyncio"
    block: tuple[str, ...] = ()
    no_plugins: bool = False
    timeout_s: float | None = None
    control: bool = True

    def check(self) -> None:
        """Raises:
        WrongValueError: what was named cannot be used.
        """
        if self.backend == "trio" and find_spec("trio") is None:
            raise say.WrongValueError("--backend trio needs the package trio: pip install 'galaxy-core[trio]'")
        if self.artifacts is not None and (why := refusal(self.artifacts)) is not None:
            raise say.WrongValueError(
                f"--artifacts {self.artifacts!r} cannot be used: {why}. Name a folder that can be made or written to; "
                "without the option, files are kept with the run in its journal, or in a temporary folder."
            )

    @property
    def artifacts_folder(self) -> Path | None:
        return None if self.artifacts is None else Path(self.artifacts)


def perform(order_of: Callable[[], Order], view: View, state: State) -> int:
    """Conduct what is ordered, and report; the exit code.

    Raises:
        GalaxyError, OSError: nothing was run. With `json` that has been told on standard output, too.
    """
    lines = Lines(sys.stdout)
    try:
        order = order_of()
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        reporter = _reporter(view, order.constellation, console, lines)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            what = "cancel the run" if order.journal is None else "stop the run, so that it can be resumed"
            say.note(
                f"Ctrl-C (SIGINT) is ignored here, as it was when galaxy was started; to {what}: kill {os.getpid()}"
            )
        with say.listening(reporter.tell, state):
            order.registry.load()  # in an event loop, Ctrl-C would not end an import
            with reporter, branded(), dying_at_quit(reporter.restore):
                try:
                    ending = anyio.run(partial(conduct, order, reporter), backend=view.backend)
                except Exception as error:
                    order.explain(error)
                    raise
    except Exception as error:
        if view.json:
            lines.write([encoded(error_document(error))])
        raise
    if view.json:
        lines.write([encoded(_result_document(ending.constellation, ending))])
    else:
        _conclude(ending.constellation, ending, console, lines)
    if lines.lost is not None:
        say.error(f"standard output cannot be written: {lines.lost.strerror}; what should stand there is not complete")
        return ending.code or Exit.REFUSED
    return ending.code


def _reporter(view: View, constellation: TaskConstellation, console: Console, lines: Lines) -> Reporter:
    if view.json:
        return JsonReporter(constellation, lines, output=view.output)
    if view.plain or not is_terminal(sys.stderr):
        return PlainReporter(constellation, Lines(sys.stderr), output=view.output)
    return LiveReporter(constellation, console, output=view.output)


def _conclude(constellation: TaskConstellation, ending: Ending, console: Console, lines: Lines) -> None:
    """What the last tasks printed goes to standard output, the rest to standard error."""
    messages = Lines(sys.stderr)
    watched = is_terminal(sys.stdout)
    printed = list(outputs(constellation, limit=OUTPUT_LINES if watched else None))
    if printed and watched:
        printed = ["", *printed, ""]
    lines.write(printed)
    paper = StringIO()
    # A console of its own, because the other one may still hold what a terminal that is gone did not take.
    ink = Console(
        file=paper,
        force_terminal=console.is_terminal,
        color_system="auto" if console.color_system else None,
        no_color=console.no_color,
        highlight=False,
    )
    for line in summary(constellation, ending, signs_for(console.encoding)):
        ink.print(line, soft_wrap=True)
    messages.write(paper.getvalue().splitlines())


def _result_document(constellation: TaskConstellation, ending: Ending) -> dict[str, Any]:
    """The last line of `--json`."""
    result = ending.result
    statistics = {} if result is None else result["statistics"]
    return {
        "type": "run_result",
        "time": time.time(),
        "run": constellation.constellation_id,
        "name": constellation.name,
        "status": ending.status,
        "exit_code": int(ending.code),
        "total_tasks": constellation.task_count,
        "counts": statistics.get("task_status_counts", {}),
        "duration_s": constellation.execution_duration,
        "resumed_s": ending.resumed_s,
        "critical_path_s": statistics.get("critical_path_length"),
        "critical_path": statistics.get("critical_path_tasks", []),
        "total_work_s": statistics.get("total_work"),
        "parallelism": statistics.get("parallelism_ratio"),
        "timed_out": ending.stopped is Exit.TIMED_OUT,
    }
