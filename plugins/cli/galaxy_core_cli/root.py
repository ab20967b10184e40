"""The commands together, and what becomes of errors."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from galaxy_core_cli import options, say
from galaxy_core_cli.commands.devices import devices
from galaxy_core_cli.commands.edit import edit
from galaxy_core_cli.commands.export import export
from galaxy_core_cli.commands.graph import graph
from galaxy_core_cli.commands.new_plugin import new_plugin
from galaxy_core_cli.commands.plan import plan
from galaxy_core_cli.commands.plugins import plugins
from galaxy_core_cli.commands.prune import prune
from galaxy_core_cli.commands.replay import replay
from galaxy_core_cli.commands.resolve import resolve
from galaxy_core_cli.commands.resume import resume
from galaxy_core_cli.commands.run import run
from galaxy_core_cli.commands.runs import runs
from galaxy_core_cli.commands.schema import schema
from galaxy_core_cli.commands.show import show
from galaxy_core_cli.commands.simulate import simulate
from galaxy_core_cli.commands.steer import pause, proceed, stop
from galaxy_core_cli.commands.validate import validate
from galaxy_core_cli.commands.watch import watch
from galaxy_core_cli.commands.why import why
from galaxy_core_cli.exits import Exit, code_of
from galaxy_core_cli.streams import close_quietly, flush_or_drop, replace_closed

#: What only writing leads to.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
#: What a group of commands alone raises to show its help; before click 8.2 it exits with it.
_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    import platform
    from importlib.metadata import version

    click.echo(
        f"galaxy {version('galaxy-core-cli')} (kernel {version('galaxy-core')}, Python {platform.python_version()})"
    )
    context.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all is well, 1 not every task succeeded, 2 the input is wrong and nothing ran, 3 a plugin or "
    "Galaxy itself is broken, 4 stopped so that it can be resumed, 124 out of time, 129 hung up, 130 "
    "cancelled by Ctrl-C, 131 killed by Ctrl-\\, 143 terminated.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit."
)
@options.debug
def galaxy() -> None:
    """Run, resume, check, draw and explain plans: tasks that depend on each other, over many devices."""


for command in (
    *(run, runs, watch, why, edit, pause, proceed, stop, resolve, resume, show, replay, export, prune),
    *(validate, plan, graph, devices, simulate, plugins, schema, new_plugin),
):
    galaxy.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Standard output is for data, standard error for messages."""
    replace_closed()
    _hear_of_children()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream that a test or another program has put there
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with suppress(AttributeError):  # what is no text is found where it is read, and told as what is wrong with it
        sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    state = options.State()
    with say.listening(say.warning, state):
        code = _run(arguments, state)
    flush_or_drop(sys.stdout)
    flush_or_drop(sys.stderr)
    return code


def _hear_of_children() -> None:
    """Whoever started us may ignore SIGCHLD, which is inherited: then the system keeps no exit codes of our children."""
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        with suppress(ValueError):  # not in the main thread of a program that calls us
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _run(arguments: Sequence[str] | None, state: options.State) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        os.getcwd()
    except FileNotFoundError:
        say.warning("the current folder was removed, so relative paths lead nowhere: change to another folder (cd)")
    try:
        # Not `galaxy.main(…)`, which has a way of its own with pipes that nobody reads.
        with galaxy.make_context("galaxy", words, obj=state) as context:
            code = galaxy.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except click.ClickException as problem:
        with suppress(OSError):  # nobody is left to be told
            _refuse(problem)
        return Exit.REFUSED
    except (KeyboardInterrupt, click.Abort):
        return Exit.CANCELLED
    except BrokenPipeError:
        close_quietly(sys.stdout)
        return Exit.NOBODY_READS
    except Exception as problem:  # whoever called the command receives it, as a message and an exit code
        return _explain(problem, state.debug)
    except BaseExceptionGroup as problem:
        if problem.subgroup(KeyboardInterrupt) is None:
            raise
        return Exit.CANCELLED
    return int(code or 0)


def _refuse(problem: click.ClickException) -> None:
    """How the command is meant, where that was the mistake; not of a value alone."""
    if isinstance(problem, _NO_ARGUMENTS):
        say.note(problem.format_message())
        return
    is_of_value = isinstance(problem, click.BadParameter) and not isinstance(problem, click.MissingParameter)
    if isinstance(problem, click.UsageError) and problem.ctx is not None and not is_of_value:
        say.note(f"{problem.ctx.get_usage()}\nTry '{problem.ctx.command_path} --help' for help.\n")
    say.error(problem.format_message())


def _explain(problem: BaseException, debug: bool) -> int:
    from galaxy_core.errors import GalaxyError
    from galaxy_core_cli.reasons import leaves, why

    if debug:
        say.trace(problem)
    if isinstance(problem, ExceptionGroup):
        # One after the other, each once; what is worst decides.
        return max(_explain(one, False) for one in {why(leaf): leaf for leaf in leaves(problem)}.values())
    if isinstance(problem, OSError) and not isinstance(problem, GalaxyError):
        name = f"{problem.filename}: " if problem.filename else ""
        if not name and problem.errno in _FULL:
            name = "standard output cannot be written: "  # of a file, the error has the name
        say.error(f"{name}{problem.strerror or problem}{_meant(problem)}")
    elif isinstance(problem, GalaxyError):
        say.error(why(problem))
    else:
        more = "" if debug else " Run it again with --debug for the traceback, and please report it."
        say.error(f"Galaxy itself failed: {type(problem).__name__}{': ' if str(problem) else ''}{problem}.{more}")
    return code_of(problem)


def _meant(problem: OSError) -> str:
    """What else may have been meant by the name of a file that is not there, and who named it so."""
    name = problem.filename
    if not isinstance(problem, FileNotFoundError) or not isinstance(name, str):
        return ""
    from galaxy_core.errors import nearest

    folder, last = os.path.split(name)
    stems: dict[str, list[str]] = {}  # without the suffix, which alone would make all plans look alike
    with suppress(OSError):
        for one in os.listdir(folder or "."):
            stems.setdefault(os.path.splitext(one)[0], []).append(one)
    near = nearest(os.path.splitext(last)[0], stems)[:1]
    found = [repr(os.path.join(folder, one)) for stem in near for one in sorted(stems[stem])[:3]]
    hint = f"; did you mean {' or '.join(found)}?" if found else ""
    return hint + (" (named by GALAXY_DEVICES)" if name == os.environ.get("GALAXY_DEVICES") else "")
