"""Galaxy runs plans over devices. This is its façade: every public name, and nothing else.

Names that need pydantic are imported when they are first used, so that embedding the kernel stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from galaxy_core.errors import (
    AssignmentError,
    CommandExecutionError,
    CommandUndoError,
    ConditionError,
    ControlError,
    CycleError,
    DeviceError,
    DeviceLostError,
    DocumentError,
    DuplicateIdError,
    EditConflictError,
    EditError,
    EditProblem,
    GalaxyError,
    HookError,
    ImmutableError,
    InputError,
    InvalidPlanError,
    NoDevicesError,
    NoFittingDeviceError,
    NotConnectedError,
    OutcomeUnknownError,
    PlanError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    RequestError,
    RunError,
    RunRefusedError,
    SecretError,
    SettingsError,
    SimulatorError,
    StrategyError,
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TaskRefusedError,
    TaskSkippedError,
    TaskTimeoutError,
    TransferError,
    TransitionError,
    UnknownDeviceError,
    UnknownJournalError,
    UnknownRunError,
    UnknownStrategyError,
    UnknownTaskError,
    UnknownTransportError,
)
from galaxy_core.extension.hookspecs import hookimpl
from galaxy_core.extension.interfaces import (
    AssignmentStrategy,
    Attempt,
    Completed,
    DeviceLoad,
    EndedTasks,
    IEventObserver,
    Journal,
    JournalWriter,
    Placement,
    ProposedEdit,
    Refused,
    RunInfo,
    Session,
    TaskToPlace,
    Transport,
    Unknown,
)
from galaxy_core.extension.registry import PluginInfo, PluginRegistry
from galaxy_core.extension.secrets import resolve_secret
from galaxy_core.model.condition import Expression
from galaxy_core.model.constellation import ConstellationState, TaskConstellation
from galaxy_core.model.dependency import DependencyType, TaskStarLine
from galaxy_core.model.device import Device, DeviceStatus, DeviceType, Discovery, SecretRef
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.events import AgentEvent, ConstellationEvent, DeviceEvent, Event, EventType, TaskEvent
from galaxy_core.model.policy import Effect, RetryPolicy, TaskConfiguration, TaskPriority
from galaxy_core.model.reasons import message_of
from galaxy_core.model.request import Action, Call, Command, Reference
from galaxy_core.model.result import ExecutionResult, TaskStatus
from galaxy_core.model.task import TaskStar
from galaxy_core.runtime.bus import EventBus, get_event_bus
from galaxy_core.runtime.clock import Clock
from galaxy_core.runtime.devices import ConstellationDeviceManager
from galaxy_core.runtime.drafts import Committed, Draft
from galaxy_core.runtime.explain import Why
from galaxy_core.runtime.manager import ConstellationManager
from galaxy_core.runtime.orchestrator import TaskConstellationOrchestrator
from galaxy_core.runtime.plans import arun_constellation, run_constellation
from galaxy_core.runtime.synchronizer import ConstellationModificationSynchronizer

if TYPE_CHECKING:
    from galaxy_core.model.edits_fields import transaction_to_dict
    from galaxy_core.model.edits_file import transaction_from_dict, transaction_from_json
    from galaxy_core.model.event_document import event_document
    from galaxy_core.model.inventory_file import Inventory, load_inventory, parse_inventory
    from galaxy_core.model.plan_file import Plan, load_plan, parse_plan
    from galaxy_core.model.preview import Preview, preview
    from galaxy_core.model.records.replay import Replay, replay
    from galaxy_core.model.schema import TaskConstellationSchema, TaskStarLineSchema, TaskStarSchema
    from galaxy_core.model.schema_edits import transaction_json_schema
    from galaxy_core.model.schema_files import plan_json_schema
    from galaxy_core.model.schema_inventory import inventory_json_schema
    from galaxy_core.model.source import document_lines
    from galaxy_core.runtime.control.client import ask_run, reachable_runs, watch_run
    from galaxy_core.runtime.control.server import control_socket
    from galaxy_core.runtime.editor.constellation_editor import ConstellationEditor
    from galaxy_core.runtime.offline import resolve_recorded

__all__ = [
    "Action",
    "AddDependency",
    "AddTask",
    "AgentEvent",
    "AssignmentError",
    "AssignmentStrategy",
    "Attempt",
    "Call",
    "Clock",
    "Command",
    "CommandExecutionError",
    "CommandUndoError",
    "Committed",
    "Completed",
    "ConditionError",
    "ConstellationDeviceManager",
    "ConstellationEditor",
    "ConstellationEvent",
    "ConstellationManager",
    "ConstellationModificationSynchronizer",
    "ConstellationState",
    "ControlError",
    "CycleError",
    "DependencyType",
    "Device",
    "DeviceError",
    "DeviceEvent",
    "DeviceLoad",
    "DeviceLostError",
    "DeviceStatus",
    "DeviceType",
    "Discovery",
    "DocumentError",
    "Draft",
    "DuplicateIdError",
    "EditConflictError",
    "EditError",
    "EditProblem",
    "Effect",
    "EndedTasks",
    "Event",
    "EventBus",
    "EventType",
    "ExecutionResult",
    "Expression",
    "GalaxyError",
    "HookError",
    "IEventObserver",
    "ImmutableError",
    "InputError",
    "InvalidPlanError",
    "Inventory",
    "Journal",
    "JournalWriter",
    "NoDevicesError",
    "NoFittingDeviceError",
    "NotConnectedError",
    "OutcomeUnknownError",
    "Placement",
    "Plan",
    "PlanError",
    "PluginConflictError",
    "PluginError",
    "PluginInfo",
    "PluginLoadError",
    "PluginRegistry",
    "Preview",
    "ProposedEdit",
    "Reference",
    "Refused",
    "RemoveDependency",
    "RemoveTask",
    "ReplacePlan",
    "Replay",
    "RequestError",
    "RetryPolicy",
    "RunError",
    "RunInfo",
    "RunRefusedError",
    "SecretError",
    "SecretRef",
    "Session",
    "SettingsError",
    "SimulatorError",
    "StrategyError",
    "TaskCancelledError",
    "TaskConfiguration",
    "TaskConstellation",
    "TaskConstellationOrchestrator",
    "TaskConstellationSchema",
    "TaskError",
    "TaskEvent",
    "TaskFailedError",
    "TaskPriority",
    "TaskRefusedError",
    "TaskSkippedError",
    "TaskStar",
    "TaskStarLine",
    "TaskStarLineSchema",
    "TaskStarSchema",
    "TaskStatus",
    "TaskTimeoutError",
    "TaskToPlace",
    "Transaction",
    "TransferError",
    "TransitionError",
    "Transport",
    "Unknown",
    "UnknownDeviceError",
    "UnknownJournalError",
    "UnknownRunError",
    "UnknownStrategyError",
    "UnknownTaskError",
    "UnknownTransportError",
    "UpdateDependency",
    "UpdateTask",
    "Why",
    "arun_constellation",
    "ask_run",
    "control_socket",
    "document_lines",
    "event_document",
    "get_event_bus",
    "hookimpl",
    "inventory_json_schema",
    "load_inventory",
    "load_plan",
    "message_of",
    "parse_inventory",
    "parse_plan",
    "plan_json_schema",
    "preview",
    "reachable_runs",
    "replay",
    "resolve_recorded",
    "resolve_secret",
    "run_constellation",
    "transaction_from_dict",
    "transaction_from_json",
    "transaction_json_schema",
    "transaction_to_dict",
    "watch_run",
]

_LAZY = {
    "ConstellationEditor": "galaxy_core.runtime.editor.constellation_editor",
    "Replay": "galaxy_core.model.records.replay",
    "replay": "galaxy_core.model.records.replay",
    "resolve_recorded": "galaxy_core.runtime.offline",
    "transaction_json_schema": "galaxy_core.model.schema_edits",
    "transaction_to_dict": "galaxy_core.model.edits_fields",
    "transaction_from_dict": "galaxy_core.model.edits_file",
    "transaction_from_json": "galaxy_core.model.edits_file",
    "ask_run": "galaxy_core.runtime.control.client",
    "watch_run": "galaxy_core.runtime.control.client",
    "reachable_runs": "galaxy_core.runtime.control.client",
    "control_socket": "galaxy_core.runtime.control.server",
    "document_lines": "galaxy_core.model.source",
    "event_document": "galaxy_core.model.event_document",
    "preview": "galaxy_core.model.preview",
    "Preview": "galaxy_core.model.preview",
    "Inventory": "galaxy_core.model.inventory_file",
    "load_inventory": "galaxy_core.model.inventory_file",
    "parse_inventory": "galaxy_core.model.inventory_file",
    "Plan": "galaxy_core.model.plan_file",
    "load_plan": "galaxy_core.model.plan_file",
    "parse_plan": "galaxy_core.model.plan_file",
    "TaskConstellationSchema": "galaxy_core.model.schema",
    "TaskStarLineSchema": "galaxy_core.model.schema",
    "TaskStarSchema": "galaxy_core.model.schema",
    "inventory_json_schema": "galaxy_core.model.schema_inventory",
    "plan_json_schema": "galaxy_core.model.schema_files",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
