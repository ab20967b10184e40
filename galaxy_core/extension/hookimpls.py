"""Finds the hooks that a plugin implements, and refuses those that could never be called as they are written."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pluggy
from attrs import frozen

from galaxy_core.errors import HookError, PluginError, nearest
from galaxy_core.extension import hookspecs
from galaxy_core.model.reasons import is_failure, message_of, words_of

#: The hooks whose implementations are called once, synchronously, when a plugin is loaded.
CONTRIBUTING = ("galaxy_strategies", "galaxy_transports", "galaxy_journals", "galaxy_observers", "galaxy_simulators")
#: Those, what checks plans, and what the scheduler calls in passing; none of them can wait for anything.
SYNCHRONOUS = (*CONTRIBUTING, "galaxy_extension_models", "galaxy_check_extension", "galaxy_wants_end")

#: The names of every hook's arguments.
SPECS = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if hasattr(spec, f"{hookspecs.PROJECT}_spec")
}

_MOST_TEXT = 500
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PYTHONS = os.path.dirname(os.path.abspath(os.__file__)) + os.sep


@frozen
class Implementation:
    """One hook of one plugin. `function` takes the hook's arguments by name, however few the plugin wrote down."""

    hook: str
    function: Callable[..., Any]
    tryfirst: bool = False
    trylast: bool = False


@contextmanager
def blame(make: Callable[[str], PluginError], *passing: type[BaseException]) -> Iterator[None]:
    """Turn whatever a plugin raises, `sys.exit` included, into the error that `make` builds of it.

    Ctrl-C goes through, and so do errors of the types `passing`. For synchronous calls only: the cancellation of a
    task cannot arrive inside of one.
    """
    try:
        yield
    except BaseException as error:  # whoever registers or discovers the plugin receives it, under the plugin's name
        if not is_failure(error, *passing):
            raise
        raise make(said(error) + _place_of(error)) from error


def _place_of(error: BaseException) -> str:
    """Where the plugin raised it: the innermost line of its traceback that is neither ours nor of Python's own library."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith((_OURS, "<frozen ")) and (not file.startswith(_PYTHONS) or "site-packages" in file):
            found = f" ({file}, line {line})"
    return found


def said(error: BaseException) -> str:
    """An exception of a plugin in words, at most a few hundred characters; those in a group, each once."""
    text = message_of(error) if isinstance(error, BaseExceptionGroup) else words_of(error)
    if len(text) > _MOST_TEXT:
        text = text[:_MOST_TEXT] + "…"
    if isinstance(error, BaseExceptionGroup):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause that offers the nearest of `known`, or the empty string."""
    near = nearest(name, known)
    return f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


def implementations_of(plugin: object, name: str) -> list[Implementation]:
    """The hooks that `plugin` (a module or an instance, called `name`) implements; reading them runs no property of it.

    Raises:
        HookError: a hook is misspelt, not marked, a wrapper, or takes what its spec does not offer.
    """
    marks = pluggy.PluginManager(hookspecs.PROJECT)
    found = []
    for attribute in dir(plugin):
        held = inspect.getattr_static(plugin, attribute, None)
        routine = inspect.isroutine(held) or isinstance(held, staticmethod | classmethod)
        options = marks.parse_hookimpl_opts(plugin, attribute) if routine else None
        if options is None:
            if attribute.startswith("galaxy_") and (routine or callable(held)):
                raise _unmarked(name, attribute)
            continue
        hook = options.get("specname") or attribute
        if options.get("wrapper") or options.get("hookwrapper"):
            why = (
                "a wrapper cannot be used, because the kernel itself calls and awaits one implementation after another"
            )
            raise HookError(name, hook, f"{why}; write it as a plain `def` or `async def`")
        if hook in SPECS:
            call = _by_name(name, hook, getattr(plugin, attribute))
            first, last = bool(options.get("tryfirst")), bool(options.get("trylast"))
            found.append(Implementation(hook, call, first, last))
        elif not options.get("optionalhook"):
            raise _no_such_hook(name, hook)
    return found


def _unmarked(name: str, attribute: str) -> HookError:
    if attribute not in SPECS:
        return _no_such_hook(name, attribute)
    return HookError(name, attribute, f"it is not marked; put @hookimpl of {hookspecs.__name__} above it")


def _no_such_hook(name: str, hook: str) -> HookError:
    # Compared without the prefix, which would make all of them look alike.
    known = {spec.removeprefix("galaxy_"): spec for spec in SPECS}
    near = [known[short] for short in nearest(hook.removeprefix("galaxy_"), known)]
    offer = f"did you mean {' or '.join(repr(one) for one in near)}?" if near else f"hooks are {', '.join(SPECS)}"
    return HookError(name, hook, f"there is no such hook; {offer}")


def _by_name(name: str, hook: str, function: Callable[..., Any]) -> Callable[..., Any]:
    _refuse_wrong_mode(name, hook, function)
    with blame(lambda why: HookError(name, hook, f"its signature cannot be read: {why}")):
        parameters = inspect.signature(function).parameters.values()
    offered = SPECS[hook]
    unknown = [p.name for p in parameters if p.name not in offered and _is_required(p)]
    if unknown:
        takes = f"takes {', '.join(offered)}" if offered else "takes no arguments"
        raise HookError(name, hook, f"it wants {', '.join(unknown)}, but the hook {takes}")
    wanted = [p for p in parameters if p.name in offered]
    positional = [p.name for p in wanted if p.kind is p.POSITIONAL_ONLY]
    named = [p.name for p in wanted if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named = [argument for argument in offered if argument not in positional]

    def call(**arguments: Any) -> Any:
        return function(*[arguments[a] for a in positional], **{a: arguments[a] for a in named})

    return call


def _is_required(parameter: inspect.Parameter) -> bool:
    variable = parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    return parameter.default is parameter.empty and not variable


def _refuse_wrong_mode(name: str, hook: str, function: Callable[..., Any]) -> None:
    if hook in SYNCHRONOUS:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise HookError(name, hook, "it is `async def`, but is called synchronously; write it as `def`")
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HookError(name, hook, "it is a generator; return the answer instead of yielding it")
