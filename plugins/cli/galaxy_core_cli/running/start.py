"""From the options of `galaxy run` to a run, its report and its exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
from attrs import field, frozen
from rich.console import Console

from galaxy_core import AssignmentError, DeviceError, Inventory, Plan, PlanError, TaskConstellation
from galaxy_core_cli import say
from galaxy_core_cli.checks import Case
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.files import DEFAULT_STRATEGY, read_inventory, read_plan, registry
from galaxy_core_cli.options import State
from galaxy_core_cli.running.conduct import Ending, Order, conduct
from galaxy_core_cli.running.jsonl import JsonReporter, encoded, error_document
from galaxy_core_cli.running.keeping import refusal
from galaxy_core_cli.running.kill import dying_at_quit
from galaxy_core_cli.running.live import LiveReporter
from galaxy_core_cli.running.picture import signs_for
from galaxy_core_cli.running.plain import PlainReporter
from galaxy_core_cli.running.reporter import Reporter
from galaxy_core_cli.running.summary import OUTPUT_LINES, outputs, summary
from galaxy_core_cli.streams import Lines, is_terminal


@frozen
class Options:
    """Those of `galaxy run`, as they were given."""

    plan: str
    devices: str | None = None
    strategy: str | None = None
    json: bool = False
    plain: bool = False
    output: bool = False
    artifacts: str | None = None
    backend: str = "asyncio"
    block: tuple[str, ...] = ()
    no_plugins: bool = False
    timeout_s: float | None = None
    control: bool = True
    state: State = field(factory=State)


def start(options: Options) -> int:
    """Run a plan; the exit code.

    Raises:
        GalaxyError, OSError: nothing was run. With `json` that has been told on standard output, too.
    """
    lines = Lines(sys.stdout)
    try:
        plan, inventory = read_plan(options.plan), read_inventory(options.devices)
        order = _order(options, plan, inventory)
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        reporter = _reporter(options, order.constellation, console, lines)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            say.note(
                "Ctrl-C (SIGINT) is ignored here, as it was when galaxy was started; "
                f"to cancel the run: kill {os.getpid()}"
            )
        try:
            with say.listening(reporter.tell, options.state):
                order.registry.load()  # in an event loop, Ctrl-C would not end an import
                with reporter, dying_at_quit(reporter.restore):
                    ending = anyio.run(partial(conduct, order, reporter), backend=options.backend)
        except (PlanError, AssignmentError, DeviceError):
            # The kernel says what is wrong; the files say where.
            Case(plan, options.plan, inventory, options.devices, order.registry, order.strategy).refuse()
            raise
    except Exception as error:
        if options.json:
            lines.write([encoded(error_document(error))])
        raise
    if options.json:
        lines.write([encoded(_result_document(order.constellation, ending))])
    else:
        _conclude(order.constellation, ending, console, lines)
    if lines.lost is not None:
        say.error(f"standard output cannot be written: {lines.lost.strerror}; what should stand there is not complete")
        return ending.code or Exit.REFUSED
    return ending.code


def _order(options: Options, plan: Plan, inventory: Inventory) -> Order:
    if options.backend == "trio" and find_spec("trio") is None:
        raise say.WrongValueError("--backend trio needs the package trio: pip install 'galaxy-core[trio]'")
    if options.artifacts is not None and (why := refusal(options.artifacts)) is not None:
        raise say.WrongValueError(
            f"--artifacts {options.artifacts!r} cannot be used: {why}. Name a folder that can be made or written to; "
            "without the option, files are kept in a temporary one."
        )
    constellation = plan.to_constellation()
    if plan.name is None and options.plan != "-":
        constellation.name = Path(options.plan).stem
    return Order(
        constellation,
        inventory,
        options.strategy or plan.strategy or DEFAULT_STRATEGY,
        registry(options.block, options.no_plugins),
        None if options.artifacts is None else Path(options.artifacts),
        options.timeout_s,
        options.control,
    )


def _reporter(options: Options, constellation: TaskConstellation, console: Console, lines: Lines) -> Reporter:
    if options.json:
        return JsonReporter(constellation, lines, output=options.output)
    if options.plain or not is_terminal(sys.stderr):
        return PlainReporter(constellation, Lines(sys.stderr), output=options.output)
    return LiveReporter(constellation, console, output=options.output)


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
    status = "cancelled" if result is None else result["status"]
    return {
        "type": "run_result",
        "time": time.time(),
        "run": constellation.constellation_id,
        "name": constellation.name,
        "status": status,
        "exit_code": int(ending.code),
        "total_tasks": constellation.task_count,
        "counts": statistics.get("task_status_counts", {}),
        "duration_s": constellation.execution_duration,
        "critical_path_s": statistics.get("critical_path_length"),
        "critical_path": statistics.get("critical_path_tasks", []),
        "total_work_s": statistics.get("total_work"),
        "parallelism": statistics.get("parallelism_ratio"),
        "timed_out": ending.stopped is Exit.TIMED_OUT,
    }
