"""Every exception that Galaxy raises, in one tree.

The second base is the nearest builtin, so that ``except ValueError`` and ``except RuntimeError`` work as the API
document promises. Fields are kept on the error; the message is built here, in one place, from them: what, why, what
was available, what to do.

::

    GalaxyError
    ├── PlanError (ValueError)                   a plan that cannot be
    │   ├── DuplicateIdError                     an id stands twice
    │   ├── UnknownTaskError                     no task of that id
    │   ├── CycleError                           a link would close a cycle
    │   ├── ImmutableError                       I3: what has started cannot be changed
    │   ├── TransitionError                      a status cannot follow another
    │   ├── InvalidPlanError                     a plan was checked whole and found wanting
    │   ├── InputError                           a reference to another task's output leads nowhere
    │   ├── EditError                            a transaction cannot be, with every reason
    │   │   ├── EditConflictError                because the plan has moved since it was prepared
    │   │   ├── CommandExecutionError            a command of an editor cannot be
    │   │   └── CommandUndoError                 an undo that would take back what has happened, or somebody else's edit
    │   └── DocumentError                        a plan or inventory file is wrong, with places in the file
    ├── AssignmentError (ValueError)             tasks and devices do not come together
    │   ├── NoDevicesError                       there is no device, or no device manager, at all
    │   ├── UnknownDeviceError                   no device of that id
    │   ├── UnknownStrategyError                 no strategy of that name
    │   └── NoFittingDeviceError                 a task that no device can run
    ├── PluginError (RuntimeError)               a plugin is wrong
    │   ├── PluginLoadError                      it could not be imported or registered
    │   ├── PluginConflictError                  two plugins claim one name
    │   ├── HookError                            a hook is misspelt, raised or took too long
    │   └── StrategyError                        a strategy returned what cannot be used
    ├── DeviceError (RuntimeError)               a device cannot be used
    │   ├── UnknownTransportError (ValueError)   no plugin brings that transport
    │   ├── SettingsError (ValueError)           a transport refuses a device's settings
    │   ├── SecretError                          a secret that is referred to cannot be had
    │   ├── NotConnectedError (ValueError)       it has to be connected, and is not
    │   ├── RequestError (ValueError)            a transport does not take that kind of request
    │   └── DeviceLostError (ConnectionError)    the connection to a device broke, or never came about
    ├── RunError (RuntimeError)                  a run cannot start or go on
    │   ├── UnknownJournalError                  no journal of that name
    │   ├── ControlError                         a run cannot be reached through a control socket
    │   │   └── UnknownRunError                  no run of that name can
    │   └── RunRefusedError                      a policy plugin refused the run
    └── TaskError (RuntimeError)                 why a task did not succeed; kept on its result, not raised
        ├── TaskFailedError                      it ran, and said that it failed
        ├── TaskTimeoutError (TimeoutError)      its deadline passed
        ├── TaskRefusedError                     the device did not start it
        ├── TaskCancelledError                   it was cancelled
        ├── TaskSkippedError                     a prerequisite ended in a way that its link does not accept
        ├── ConditionError                       the condition of a link could not be evaluated
        └── OutcomeUnknownError                  nobody can vouch for what the attempt did
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import asdict, frozen


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three of `known` that `name` may have meant, best first; empty when none is near."""
    import difflib  # costs more than this module, and only who errs needs it

    names = list(known)
    if len(names) > 5000:  # difflib compares with every name: at that size it would cost seconds
        names = [candidate for candidate in names if candidate[:1] == name[:1]][:5000]
    return tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.6))


def _or(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names)


def _hint(near: Sequence[str]) -> str:
    return f"; did you mean {_or(near)}?" if near else ""


def _listed(names: Iterable[str], none: str, most: int = 20, show: Callable[[str], str] = repr) -> str:
    found = sorted(names)
    if not found:
        return none
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(show, found[:most])) + more


class GalaxyError(Exception):
    """The root of everything that Galaxy raises."""


class PlanError(GalaxyError, ValueError):
    """A plan that cannot be."""


class DuplicateIdError(PlanError):
    """`kind` ("Task", "Dependency") and `id` name what stands twice."""

    def __init__(self, kind: str, id: str) -> None:
        self.kind, self.id = kind, id
        super().__init__(f"{kind} with ID {id} already exists")


class UnknownTaskError(PlanError):
    """`role` is "Task", "Source task" or "Target task"; `near` the ids that may have been meant."""

    def __init__(self, task_id: str, known: Iterable[str] = (), role: str = "Task") -> None:
        self.task_id, self.role, self.near = task_id, role, nearest(task_id, known)
        super().__init__(f"{role} {task_id} not found{_hint(self.near)}")


class CycleError(PlanError):
    """`cycle` lists the task ids around the cycle, the first repeated at the end."""

    def __init__(self, cycle: Sequence[str], link: tuple[str, str] | None = None) -> None:
        self.cycle, self.link = tuple(cycle), link
        way = " -> ".join(self.cycle)
        if link is None:
            super().__init__(f"DAG contains cycles: {way}")
        else:
            super().__init__(f"Adding dependency {link[0]} -> {link[1]} would create a cycle: {way}")


class ImmutableError(PlanError):
    """I3: only what has not started can be changed. `status` is the task's."""

    def __init__(self, what: str, task_id: str, status: str, verb: str = "modify", remedy: str = "") -> None:
        self.what, self.task_id, self.status = what, task_id, status
        of = f"{what} of " if what else ""
        super().__init__(f"Cannot {verb} {of}{status} task {task_id}{': ' if remedy else ''}{remedy}")


class TransitionError(PlanError):
    """A status that cannot follow the present one."""

    def __init__(self, verb: str, task_id: str, status: str, why: str | None = None) -> None:
        self.verb, self.task_id, self.status = verb, task_id, status
        super().__init__(why or f"Cannot {verb} task {task_id} in status {status}")


class InvalidPlanError(PlanError):
    """`problems` lists every one that was found."""

    def __init__(self, problems: Sequence[str], prefix: str = "Invalid DAG") -> None:
        self.problems = tuple(problems)
        super().__init__(f"{prefix}: {list(problems)}")


class InputError(PlanError):
    """A reference to another task's output that leads nowhere."""

    def __init__(self, reference: str, why: str) -> None:
        self.reference, self.why = reference, why
        super().__init__(f"input {reference} cannot be had: {why}")


@frozen
class EditProblem:
    """One reason why a transaction cannot be.

    `kind` is "unknown" (no such task, link or run), "duplicate", "started" (I3), "cycle" (I2), "changed" (somebody else
    has edited it since), "future" (a base revision that is still to come), "invalid" (a value that cannot be), "input"
    (a task takes what it does not wait for), "refused" (by a review) or "over" (too late). `operation` is the place of
    the operation in its transaction, from 0; None when it is about all of them. `subject` is the id of the task or link
    in question. `is_conflict` says that it would not be, had the plan not moved since the transaction was prepared.
    """

    kind: str
    reason: str
    operation: int | None = None
    subject: str = ""
    is_conflict: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain data, for programs."""
        return asdict(self)


class EditError(PlanError):
    """A transaction that cannot be; nothing was changed. `problems` lists every reason."""

    def __init__(self, problems: Sequence[EditProblem], what: str = "The edit") -> None:
        self.problems = tuple(problems)
        super().__init__(f"{what} was refused, and nothing was changed: {self._reasons(numbered=True)}")

    def _reasons(self, *, numbered: bool = False) -> str:
        reasons = [
            f"operation {problem.operation}: {problem.reason}"
            if numbered and problem.operation is not None
            else problem.reason
            for problem in self.problems[:20]
        ]
        more = [f"and {len(self.problems) - 20} more"] if len(self.problems) > 20 else []
        return "; ".join(reasons + more)


class EditConflictError(EditError):
    """A transaction that no longer fits, because the plan has moved. Rebase it: what still fits is kept."""


class CommandExecutionError(EditError):
    """A command of an editor that cannot be; nothing was changed. `command` describes it."""

    def __init__(self, command: str, problems: Sequence[EditProblem]) -> None:
        super().__init__(problems)
        self.command = command
        self.args = (f"Command execution failed: Command cannot be executed: {command}. Reason: {self._reasons()}",)


class CommandUndoError(EditError):
    """An undo that cannot be; nothing was changed, and the history is as it was. `command` describes what stays."""

    def __init__(self, command: str, problems: Sequence[EditProblem]) -> None:
        super().__init__(problems)
        self.command = command
        self.args = (f"Command undo failed: {command}. Reason: {self._reasons()}",)


class DocumentError(PlanError):
    """A plan or inventory document is wrong.

    `source` names the file (or "<text>"); `problems` are `(path, line, text)`, path such as ``tasks.a.run[0]`` and
    line 1-based or None where the format has none.
    """

    def __init__(self, source: str, problems: Sequence[tuple[str, int | None, str]]) -> None:
        self.source, self.problems = source, tuple(problems)
        lines = []
        for path, line, text in self.problems:
            place = f"{source}:{line}" if line is not None else source
            lines.append(f"{place}: {path + ': ' if path else ''}{text}")
        super().__init__("\n".join(lines))


class AssignmentError(GalaxyError, ValueError):
    """Tasks and devices do not come together."""


class NoDevicesError(AssignmentError):
    """There is no device, or no device manager, at all."""


class UnknownDeviceError(AssignmentError):
    """No device of that id; `near` the ids that may have been meant."""

    def __init__(self, device_id: str, known: Iterable[str] = (), prefix: str = "") -> None:
        names = list(known)
        self.device_id, self.near = device_id, nearest(device_id, names)
        super().__init__(
            f"{prefix}Device {device_id} is not registered{_hint(self.near)}; "
            f"registered: {_listed(names, 'none')}. Add it to the inventory, or name one of these."
        )


class UnknownStrategyError(AssignmentError):
    """No strategy of that name; `near` the names that may have been meant."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = list(known)
        self.name, self.near = name, nearest(name, names)
        super().__init__(
            f"Unknown assignment strategy: {name}{_hint(self.near)}; "
            f"available: {_listed(names, 'none')}. Install the plugin that brings it, or pass the plugin object."
        )


class NoFittingDeviceError(AssignmentError):
    """`missing` says for each device id what it lacks for the task; `tasks` are all ids of that kind."""

    def __init__(self, tasks: Sequence[str], needs: str, missing: Mapping[str, str]) -> None:
        self.tasks, self.needs, self.missing = tuple(tasks), needs, dict(missing)
        who = _listed(self.tasks, "none", most=5)
        each = "; ".join(f"{device}: {lack}" for device, lack in list(self.missing.items())[:20])
        super().__init__(
            f"No device fits task {who}, which needs {needs}. {each or 'There are no devices'}. "
            "Add such a device, or change what the task asks for."
        )


class PluginError(GalaxyError, RuntimeError):
    """A plugin is wrong; `plugin` is its name."""

    def __init__(self, plugin: str, message: str) -> None:
        self.plugin = plugin
        super().__init__(message)


class PluginLoadError(PluginError):
    """It could not be imported or registered. The cause is chained."""

    def __init__(self, plugin: str, distribution: str | None, why: str) -> None:
        self.distribution, self.why = distribution, why
        origin = f" of distribution {distribution!r}" if distribution else ""
        super().__init__(
            plugin,
            f"plugin {plugin!r}{origin} could not be loaded: {why}. Repair or uninstall it, or block it by name.",
        )


class PluginConflictError(PluginError):
    """Two plugins claim one name of one kind ("strategy", "transport", …)."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        self.kind, self.name, self.first, self.second = kind, name, first, second
        super().__init__(
            second,
            f"{kind} {name!r} is claimed by plugin {first!r} and by plugin {second!r}: block or rename one of them.",
        )


class HookError(PluginError):
    """A hook is misspelt, raised, returned what it may not, or took too long."""

    def __init__(self, plugin: str, hook: str, why: str) -> None:
        self.hook, self.why = hook, why
        super().__init__(plugin, f"hook {hook!r} of plugin {plugin!r}: {why}")


class StrategyError(PluginError):
    """A strategy raised, or returned an assignment that cannot be used."""

    def __init__(self, strategy: str, why: str) -> None:
        self.strategy, self.why = strategy, why
        super().__init__(strategy, f"strategy {strategy!r} {why}")


class DeviceError(GalaxyError, RuntimeError):
    """A device cannot be used; `device_id` names it."""

    def __init__(self, device_id: str, message: str) -> None:
        self.device_id = device_id
        super().__init__(message)


class UnknownTransportError(DeviceError, ValueError):
    """No plugin brings that transport; `near` the names that may have been meant."""

    def __init__(self, device_id: str, transport: str, known: Iterable[str] = ()) -> None:
        names = list(known)
        self.transport, self.near = transport, nearest(transport, names)
        super().__init__(
            device_id,
            f"device {device_id!r} wants transport {transport!r}, which no plugin brings{_hint(self.near)}; "
            f"available: {_listed(names, 'none')}. Install a plugin such as galaxy-core-{transport}.",
        )


class SettingsError(DeviceError, ValueError):
    """A transport refuses a device's settings; `problems` are `(path, text)`."""

    def __init__(self, device_id: str, transport: str, problems: Sequence[tuple[str, str]]) -> None:
        self.transport, self.problems = transport, tuple(problems)
        each = "; ".join(f"{path}: {text}" if path else text for path, text in self.problems)
        super().__init__(device_id, f"settings of device {device_id!r} (transport {transport!r}): {each}")


class SecretError(DeviceError):
    """A secret that is referred to cannot be had. Never holds the secret."""

    def __init__(self, reference: str, why: str) -> None:
        self.reference, self.why = reference, why
        super().__init__("", f"secret {reference}: {why}")


class RequestError(DeviceError, ValueError):
    """A transport does not take that request."""

    def __init__(self, device_id: str, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(device_id, f"task {task_id!r} cannot run on device {device_id!r}: {why}")


class NotConnectedError(DeviceError, ValueError):
    """It has to be connected, and is not; `status` is where it stands."""

    def __init__(self, device_id: str, status: str) -> None:
        self.status = status
        super().__init__(device_id, f"Device {device_id} is not connected (status: {status}); connect it first")


class DeviceLostError(DeviceError, ConnectionError):
    """The connection to a device broke, or never came about."""

    def __init__(self, device_id: str, why: str) -> None:
        self.why = why
        super().__init__(device_id, f"device {device_id!r} is lost: {why}")


class RunError(GalaxyError, RuntimeError):
    """A run cannot start or go on."""


class UnknownJournalError(RunError):
    """No journal of that name; `near` the names that may have been meant."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = list(known)
        self.name, self.near = name, nearest(name, names)
        super().__init__(
            f"no plugin brings journal {name!r}{_hint(self.near)}; available: {_listed(names, 'none')}. "
            "Install the plugin that brings it, or run without a journal."
        )


class ControlError(RunError):
    """A control socket cannot be opened, or a run cannot be reached through one."""


class UnknownRunError(ControlError):
    """No run of that name can be reached, or, with `several`, more than one. `near` are those that may be meant.

    `plans` are the names of the plans that they run, by id, as far as they are known.
    """

    def __init__(
        self, run: str, known: Iterable[str] = (), several: Sequence[str] = (), plans: Mapping[str, str] | None = None
    ) -> None:
        names, plans = list(known), plans or {}
        meant = [*names, *sorted({plan for plan in plans.values() if plan} - {*names})]
        self.run, self.several, self.near = run, tuple(several), nearest(run, meant)

        def listed(ids: Iterable[str]) -> str:
            return _listed(
                ids, "none", show=lambda one: f"{one!r} (plan {plans[one]!r})" if plans.get(one) else repr(one)
            )

        if several:
            super().__init__(f"{run!r} may mean {listed(several)}: name more of the id")
        else:
            super().__init__(
                f"no run {run!r} can be reached{_hint(self.near)}; those that can: {listed(names)}. "
                "A run can be reached while it lasts, by the user who started it, unless it has no control socket."
            )


class RunRefusedError(RunError):
    """A policy plugin refused the run; `reasons` are `(plugin, reason)`."""

    def __init__(self, constellation_id: str, reasons: Sequence[tuple[str, str]]) -> None:
        self.constellation_id, self.reasons = constellation_id, tuple(reasons)
        each = "; ".join(f"{plugin}: {reason}" for plugin, reason in self.reasons)
        super().__init__(f"run of {constellation_id!r} refused: {each}")


class TaskError(GalaxyError, RuntimeError):
    """Why a task did not succeed; `task_id` names it."""

    def __init__(self, task_id: str, message: str) -> None:
        self.task_id = task_id
        super().__init__(message)


class TaskFailedError(TaskError):
    """It ran and said that it failed; `exit_code` where it has one."""

    def __init__(self, task_id: str, why: str, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        super().__init__(task_id, why)


class TaskTimeoutError(TaskError, TimeoutError):
    """Its deadline of `timeout_s` seconds passed."""

    def __init__(self, task_id: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(task_id, f"task {task_id!r} was stopped at its deadline of {timeout_s:g} s")


class TaskRefusedError(TaskError):
    """The device certainly did not start it."""


class TaskCancelledError(TaskError):
    """It was cancelled."""


class TaskSkippedError(TaskError):
    """`cause_id` is the prerequisite whose end the link does not accept."""

    def __init__(self, task_id: str, cause_id: str, why: str) -> None:
        self.cause_id, self.why = cause_id, why
        super().__init__(task_id, f"task {task_id!r} was skipped: {why}")


class ConditionError(TaskError):
    """The condition of a link could not be evaluated; the evaluator's error is chained."""

    def __init__(self, task_id: str, cause_id: str, why: str) -> None:
        self.cause_id = cause_id
        super().__init__(task_id, f"the condition of the link {cause_id} -> {task_id} could not be evaluated: {why}")


class OutcomeUnknownError(TaskError):
    """Nobody can vouch for what the attempt did; it is not run again by itself."""
