"""Making a request ready to be sent: references replaced by other tasks' outputs, and the transport's consent."""

from __future__ import annotations

from galaxy_core.errors import InputError, RequestError, nearest
from galaxy_core.extension.interfaces import Transport
from galaxy_core.extension.models import argument_problems, with_paths
from galaxy_core.extension.transports import FEATURES_OF_COMMANDS, features_of
from galaxy_core.model.graph import Graph
from galaxy_core.model.request import Action, Call, Command, Reference, Request
from galaxy_core.model.result import TERMINAL, ExecutionResult
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.lanes import Lane


def prepare_request(request: Request, task: TaskStar, lane: Lane, graph: Graph) -> Request:
    """The request as the session is to get it.

    Raises:
        RequestError: the transport does not take it.
        InputError: a reference leads nowhere.
    """
    if request.has_references:

        def lookup(reference: Reference) -> object:
            source = graph._tasks.get(reference.task_id)
            if source is None:
                raise InputError(str(reference), "there is no such task")
            result = source._result
            if result is None:
                return _without_result(reference, source)
            if not isinstance(result, ExecutionResult):
                result = ExecutionResult(source._task_id, source._status, result)
            return reference.read(result)

        request = request.resolve(lookup)
    if lane.transport is not None:
        check_request(lane.transport, request, task, lane.device_id)
    return request


def _without_result(reference: Reference, source: TaskStar) -> str:
    """Of a task that never ran, or that somebody ended by hand, how it ended is all there is."""
    if source._status not in TERMINAL:
        raise InputError(str(reference), f"that task is {source._status.value}, and has not ended")
    if reference.value != "status":
        raise InputError(str(reference), f"that task has no result: it ended {source._status.value}; take 'status'")
    return source._status.value


def check_request(transport: Transport, request: Request | None, task: TaskStar, device_id: str) -> None:
    """Whether a transport takes a request, as far as can be said without a connection.

    Arguments that are references are not looked at: they have no value yet.

    Raises:
        RequestError: it does not.
    """
    kind = kind_of(request)
    if kind != "action":
        if kind not in transport.requests:
            raise RequestError(device_id, task._task_id, _not_taken(transport, kind))
        if isinstance(request, Command) and (problem := _not_declared(transport, request)):
            raise RequestError(device_id, task._task_id, problem)
        return
    assert isinstance(request, Action)
    if request.name not in transport.actions:
        near = nearest(request.name, transport.actions)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise RequestError(device_id, task._task_id, _not_taken(transport, f"action {request.name!r}") + meant)
    if problems := argument_problems(transport, request):
        told = "; ".join(f"{path}: {text}" if path else text for path, text in with_paths(problems))
        raise RequestError(device_id, task._task_id, f"action {request.name!r}: {told}")


def _not_declared(transport: Transport, command: Command) -> str | None:
    """What a command says that its transport has not declared among its features."""
    features = features_of(transport)
    if features >= FEATURES_OF_COMMANDS:
        return None
    said = {
        "cwd": command.cwd is not None,
        "env": bool(command.env),
        "stdin": command.stdin is not None,
        "files": bool(command.files),
        "outputs": bool(command.outputs),
    }
    wrong = [repr(key) for key, given in said.items() if given and key not in features]
    taken = ", ".join(sorted(features & FEATURES_OF_COMMANDS)) or "none of these keys"
    return (
        f"transport {transport.name!r} takes no {' and no '.join(wrong)} of a command; it takes {taken}"
        if wrong
        else None
    )


def kind_of(request: Request | None) -> str:
    """What kind of request it is, as transports name them."""
    if isinstance(request, Command):
        return "run" if request.argv is not None else "shell"
    if isinstance(request, Call):
        return "call"
    return "none" if request is None else "action"


def _not_taken(transport: Transport, kind: str) -> str:
    taken = sorted(transport.requests) + [f"action {name!r}" for name in sorted(transport.actions)]
    words = {
        "run": "an argument list (run)",
        "shell": "a shell text (shell)",
        "call": "a Python call",
        "none": "a task that only has a description",
    }
    return (
        f"transport {transport.name!r} does not take {words.get(kind, kind)}; it takes: {', '.join(taken) or 'nothing'}"
    )
