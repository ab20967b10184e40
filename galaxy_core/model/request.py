"""What a task asks of its device, and how it takes other tasks' outputs: by reference, never by text substitution.

A request never changes, also when it is handed out: its mappings are read-only copies of what it was made of. Of an
action that goes for its arguments at any depth (see values.py). The arguments of a call are the program's own objects,
of any kind: they are passed to its function as they are, which may change them if it likes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from galaxy_core.errors import InputError
from galaxy_core.model.records.unkept import Beginning, first_unkept
from galaxy_core.model.result import BY_HAND, ExecutionResult, KeptFiles
from galaxy_core.model.serial import plain
from galaxy_core.model.values import EMPTY, frozen_deep, frozen_mapping

#: What a reference may name, apart from ``json.PATH`` (a JMESPath expression) and ``file.NAME``.
REFERENCE_VALUES = ("stdout", "stderr", "exit_code", "status", "value", "json")


@frozen
class Reference:
    """Another task's output.

    `value` is "stdout", "stderr", "exit_code", "status", "value" (the payload), "json" (standard output, parsed),
    "json." and a JMESPath expression into it, or "file." and the name of a collected output file (its path).
    """

    task_id: str
    value: str = "stdout"

    def __str__(self) -> str:
        return f"{self.value} of task {self.task_id!r}"

    @property
    def _is_of_output(self) -> bool:
        """Whether it is of what the task printed or returned, rather than of how it ended or of a file."""
        return self.value in ("stdout", "stderr", "value", "json") or self.value.startswith("json.")

    def read(self, result: ExecutionResult | None) -> Any:
        """What this refers to in `result`.

        Raises:
            InputError: there is no result, it is not JSON, the path leads nowhere, there is no such file, or what it
                refers to was cut, or was in a process that is gone.
        """
        if result is None:
            raise InputError(str(self), "that task has no result")
        found = self._found(result)
        if (lost := first_unkept(found)) is not None:
            raise InputError(str(self), lost.why)
        return found

    def _found(self, result: ExecutionResult) -> Any:
        kind, _, rest = self.value.partition(".")
        if kind == "json":
            return self._json(result, rest)
        if kind == "file":
            files = result.files or {}
            if rest not in files:
                if why := result._why_unfetched:
                    raise InputError(str(self), f"{rest!r} was not fetched: {why}; have a task of its own fetch it")
                known = ", ".join(repr(name) for name in files) or "none"
                raise InputError(str(self), f"it left no file {rest!r}; collected: {known}")
            self._check_file(result, rest)
            return files[rest]
        if kind not in REFERENCE_VALUES or rest:
            raise InputError(str(self), f"allowed are {', '.join(REFERENCE_VALUES)}, json.PATH and file.NAME")
        if kind in ("stdout", "stderr"):
            self._check_whole(result, kind)
        elif kind == "value" and result.result is not None and result.result == result.stdout:
            self._check_whole(result, "stdout")
        elif kind == "value" and result.metadata.get(BY_HAND):
            self._check_heard(result)
        found = getattr(result, kind)
        if found is None:
            self._check_heard(result)
            if kind != "value":
                other = "status" if kind == "exit_code" else "value"
                raise InputError(str(self), f"that task has no {kind}, which only commands have; take {other!r}")
        return str(found) if kind == "status" else found

    def _check_heard(self, result: ExecutionResult) -> None:
        """Of an end that was found out afterwards there may be nothing but its exit code: that is not the value None."""
        if result._is_unheard:
            known = "'status'" if result.exit_code is None else "'exit_code' or 'status'"
            remedy = f"take {known}, or have it leave a file that a later task reads"
            raise InputError(str(self), f"{result._why_unheard}; {remedy}")

    def _check_whole(self, result: ExecutionResult, stream: str) -> None:
        """A transport that cuts may tell which stream by ``stdout_kept_bytes``; if it does not, both are suspect."""
        text = getattr(result, stream)
        if type(text) is Beginning:
            raise InputError(str(self), f"its {stream} was cut: {text.lost.why}")
        self._check_heard(result)
        told = result.metadata
        other = "stderr" if stream == "stdout" else "stdout"
        if not told.get("truncated") or text is None:
            return
        if f"{stream}_kept_bytes" not in told and f"{other}_kept_bytes" in told:
            return
        remedy = "raise output_cap_bytes of its device, or have it write a file and take file.NAME"
        file, size = f"{stream}.txt", told.get(f"{stream}_file_bytes")
        if file in (result.files or {}) and size is not None and size == told.get(f"{stream}_bytes"):
            remedy = f"take the whole of it as a file, file.{file}, or raise output_cap_bytes of its device"
        raise InputError(str(self), f"its {stream} was cut after {len(text)} characters; {remedy}")

    def _check_file(self, result: ExecutionResult, name: str) -> None:
        """It is as it was recorded; and the file of a stream that was cut has a cap of its own."""
        files = result.files
        if type(files) is KeptFiles and (lost := files.lost(name)) is not None:
            raise InputError(
                str(self),
                f"{files[name]!r} was lost or changed since it was recorded: {lost}; "
                "put the file back and resume, or have its task run again in a new run",
            )
        stream = name.removesuffix(".txt")
        if name not in ("stdout.txt", "stderr.txt") or not result.metadata.get("truncated"):
            return
        kept, size = (result.metadata.get(f"{stream}_{what}") for what in ("file_bytes", "bytes"))
        if kept is not None and size is not None and kept < size:
            where = (result.files or {})[name]
            raise InputError(
                str(self),
                f"its {stream} was cut: file.{name}, {where!r}, has its first {kept} bytes of {size}; "
                "raise artifact_cap_bytes of its device, or have it write a file and take file.NAME",
            )

    def _json(self, result: ExecutionResult, path: str) -> Any:
        text = result.stdout
        if text is None:
            self._check_heard(result)
            document = result.result  # a call's return value is a document already
        else:
            self._check_whole(result, "stdout")
            try:
                document = json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
            except (ValueError, RecursionError) as error:
                raise InputError(str(self), f"its standard output is not JSON: {error}") from error
        if not path:
            return document
        from galaxy_core.model.query import Query  # loads jmespath, with the first plan that needs it

        try:
            found = Query(path).search(document)
        except ValueError as error:
            raise InputError(str(self), f"{path!r} cannot be evaluated: {error}") from error
        if text is None and (found is None or isinstance(found, (bool, int, float))):
            lost = first_unkept(document, is_cut=True)  # it may have been looked at, as in a comparison
            if lost is not None:
                raise InputError(str(self), lost.why)
        if found is None:
            raise InputError(str(self), f"{path!r} leads nowhere in its output")
        return found


def _refuse_number(notation: str) -> float:
    raise ValueError(f"{notation[:40]} is not a value in JSON: print null, or a text, in its place")


def _finite(notation: str) -> float:
    number = float(notation)
    return number if math.isfinite(number) else _refuse_number(notation)


Lookup = Callable[[Reference], Any]


def as_text(value: Any) -> str:
    """A value as an argument or environment entry: text as it is, everything else as JSON would write it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _argv(argv: Sequence[str | Reference] | None) -> tuple[str | Reference, ...] | None:
    if isinstance(argv, str):
        raise TypeError(f"argv is a list of arguments, not the string {argv!r}; a shell line is Command(shell=...)")
    return None if argv is None else tuple(argv)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"outputs is a list of names, not the string {names!r}")
    return tuple(names)


def _arguments(arguments: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(arguments)


@frozen
class Command:
    """Run a program.

    Exactly one of `argv` (an argument list, quoted by the transport for its far side) and `shell` (text for the far
    side's shell, in which nothing is ever substituted) is given. `files` are put into the working directory before
    the start, `outputs` are collected from it afterwards; both are names inside that directory. Where a value may be
    a Reference, it is replaced when the task starts: in arguments and environment without trailing newlines, as in a
    shell; on standard input unchanged.
    """

    argv: tuple[str | Reference, ...] | None = field(default=None, converter=_argv)
    shell: str | None = None
    cwd: str | None = None
    env: Mapping[str, str | Reference] = field(default=EMPTY, converter=frozen_mapping)
    stdin: str | Reference | None = None
    files: Mapping[str, Reference | str] = field(default=EMPTY, converter=frozen_mapping)
    outputs: tuple[str, ...] = field(default=(), converter=_names)

    def __attrs_post_init__(self) -> None:
        if (self.argv is None) == (self.shell is None):
            raise ValueError("a command is either an argument list or a shell text: give exactly one")
        if self.argv is not None and not self.argv:
            raise ValueError("a command needs at least the program to run")

    @property
    def references(self) -> Iterator[Reference]:
        """Every reference in it."""
        for value in (*(self.argv or ()), *self.env.values(), self.stdin, *self.files.values()):
            if isinstance(value, Reference):
                yield value

    @property
    def has_references(self) -> bool:
        """Whether there is any reference in it."""
        return next(self.references, None) is not None

    def resolve(self, lookup: Lookup) -> Command:
        """The command with each reference replaced by what `lookup` finds."""
        if not self.has_references:
            return self

        def short(value: str | Reference) -> str:
            return as_text(lookup(value)).rstrip("\r\n") if isinstance(value, Reference) else value

        return evolve(
            self,
            argv=None if self.argv is None else [short(part) for part in self.argv],
            env={name: short(value) for name, value in self.env.items()},
            stdin=as_text(lookup(self.stdin)) if isinstance(self.stdin, Reference) else self.stdin,
            files={
                name: as_text(lookup(value)) if isinstance(value, Reference) else value
                for name, value in self.files.items()
            },
        )

    def renamed(self, task_ids: Mapping[str, str]) -> Command:
        """The same, with references to tasks among `task_ids` (old id: new id) leading to those of the new ids."""
        if not any(reference.task_id in task_ids for reference in self.references):
            return self
        argv = None if self.argv is None else [_renamed(part, task_ids) for part in self.argv]
        env, files = _all_renamed(self.env, task_ids), _all_renamed(self.files, task_ids)
        return evolve(self, argv=argv, env=env, stdin=_renamed(self.stdin, task_ids), files=files)

    def to_dict(self) -> dict[str, Any]:
        """The keys of a plan file."""
        found: dict[str, Any] = {}
        if self.argv is not None:
            found["run"] = [_reference_to_dict(part) for part in self.argv]
        if self.shell is not None:
            found["shell"] = self.shell
        if self.cwd is not None:
            found["cwd"] = self.cwd
        if self.env:
            found["env"] = {name: _reference_to_dict(value) for name, value in self.env.items()}
        if self.stdin is not None:
            found["stdin"] = _reference_to_dict(self.stdin)
        if self.files:
            found["files"] = {name: _reference_to_dict(value) for name, value in self.files.items()}
        if self.outputs:
            found["outputs"] = list(self.outputs)
        return found


@frozen
class Action:
    """A request of a transport's own, by name; `arguments` are checked by the transport's model for it.

    They are plain data: what is made of dictionaries, lists, tuples and sets is copied, and read-only at any depth.
    """

    name: str
    arguments: Mapping[str, Any] = field(default=EMPTY, converter=frozen_deep)

    @property
    def references(self) -> Iterator[Reference]:
        """Every reference among the arguments (not inside nested values)."""
        return (value for value in self.arguments.values() if isinstance(value, Reference))

    @property
    def has_references(self) -> bool:
        """Whether there is any reference in it."""
        return next(self.references, None) is not None

    def resolve(self, lookup: Lookup) -> Action:
        """The action with each reference replaced by what `lookup` finds."""
        if not self.has_references:
            return self
        return evolve(
            self,
            arguments={
                name: lookup(value) if isinstance(value, Reference) else value for name, value in self.arguments.items()
            },
        )

    def renamed(self, task_ids: Mapping[str, str]) -> Action:
        """The same, with references to tasks among `task_ids` (old id: new id) leading to those of the new ids."""
        if not any(reference.task_id in task_ids for reference in self.references):
            return self
        return evolve(self, arguments=_all_renamed(self.arguments, task_ids))

    def to_dict(self) -> dict[str, Any]:
        """The keys of a plan file."""
        arguments = {name: _reference_to_dict(value) for name, value in self.arguments.items()}
        return {"action": {self.name: plain(arguments)}}


@frozen
class Call:
    """Call a Python function of the embedding program, in its event loop: ``Call(fetch, ("https://…",))``.

    `function` may be `def` (it must not block for long) or `async def`. It gets these very arguments, not copies.
    Cannot be written to a file.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = field(default=(), converter=_arguments)
    kwargs: Mapping[str, Any] = field(default=EMPTY, converter=frozen_mapping)

    @property
    def references(self) -> Iterator[Reference]:
        """Every reference among the arguments (not inside nested values)."""
        return (value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Reference))

    @property
    def has_references(self) -> bool:
        """Whether there is any reference in it."""
        return next(self.references, None) is not None

    def resolve(self, lookup: Lookup) -> Call:
        """The call with each reference replaced by what `lookup` finds."""
        if not self.has_references:
            return self

        def found(value: Any) -> Any:
            return lookup(value) if isinstance(value, Reference) else value

        return evolve(
            self,
            args=[found(value) for value in self.args],
            kwargs={name: found(value) for name, value in self.kwargs.items()},
        )

    def renamed(self, task_ids: Mapping[str, str]) -> Call:
        """The same, with references to tasks among `task_ids` (old id: new id) leading to those of the new ids."""
        if not any(reference.task_id in task_ids for reference in self.references):
            return self
        args = [_renamed(value, task_ids) for value in self.args]
        return evolve(self, args=args, kwargs=_all_renamed(self.kwargs, task_ids))

    def to_dict(self) -> dict[str, Any]:
        """The function's name, for people; it is not enough to build the call again."""
        name = getattr(self.function, "__qualname__", None) or repr(self.function)
        return {"call": f"{getattr(self.function, '__module__', '?')}:{name}"}


Request = Command | Action | Call


def _renamed(value: Any, task_ids: Mapping[str, str]) -> Any:
    """A reference as it is to lead elsewhere; every other value as it is."""
    if isinstance(value, Reference) and value.task_id in task_ids:
        return evolve(value, task_id=task_ids[value.task_id])
    return value


def _all_renamed(values: Mapping[str, Any], task_ids: Mapping[str, str]) -> dict[str, Any]:
    return {name: _renamed(value, task_ids) for name, value in values.items()}


def _reference_to_dict(value: Any) -> Any:
    return {"from": value.task_id, "value": value.value} if isinstance(value, Reference) else value
