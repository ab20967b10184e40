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
    │   ├── DeviceLostError (ConnectionError)    the connection to a device broke, or never came about
    │   └── TransferError (OSError)              a file could not be pushed to a device or pulled from it
    ├── SimulatorError (RuntimeError)            simulated devices cannot be started here
    ├── RunError (RuntimeError)                  a run cannot start or go on
    │   ├── UnknownJournalError                  no journal of that name
    │   ├── JournalError                         a journal cannot keep a run, or give one back
    │   │   ├── JournalFailedError               it failed in the middle of a run, which was stopped
    │   │   ├── UnknownRecordedRunError          it has no run of that id
    │   │   ├── RunLockedError                   somebody has the run already
    │   │   ├── JournalDamagedError              what was kept cannot be relied on from some record on
    │   │   ├── JournalVersionError              a newer version wrote it
    │   │   └── ResumeError                      a recorded run cannot go on here, with every reason
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

from galaxy_core.errors.device import (
    AssignmentError,
    DeviceError,
    DeviceLostError,
    NoDevicesError,
    NoFittingDeviceError,
    NotConnectedError,
    RequestError,
    SecretError,
    SettingsError,
    SimulatorError,
    TransferError,
    UnknownDeviceError,
    UnknownStrategyError,
    UnknownTransportError,
)
from galaxy_core.errors.journal import (
    JournalDamagedError,
    JournalError,
    JournalFailedError,
    JournalVersionError,
    ResumeError,
    RunLockedError,
    UnknownRecordedRunError,
)
from galaxy_core.errors.plan import (
    KEPT_PROBLEMS,
    CommandExecutionError,
    CommandUndoError,
    CycleError,
    DocumentError,
    DuplicateIdError,
    EditConflictError,
    EditError,
    EditProblem,
    ImmutableError,
    InputError,
    InvalidPlanError,
    PlanError,
    TransitionError,
    UnknownTaskError,
)
from galaxy_core.errors.plugin import (
    HookError,
    PluginConflictError,
    PluginError,
    PluginLoadError,
    StrategyError,
)
from galaxy_core.errors.root import (
    GalaxyError,
    nearest,
)
from galaxy_core.errors.run import (
    ConditionError,
    ControlError,
    OutcomeUnknownError,
    RunError,
    RunRefusedError,
    TaskCancelledError,
    TaskError,
    TaskFailedError,
    TaskRefusedError,
    TaskSkippedError,
    TaskTimeoutError,
    UnknownJournalError,
    UnknownRunError,
)

__all__ = [
    "KEPT_PROBLEMS",
    "AssignmentError",
    "CommandExecutionError",
    "CommandUndoError",
    "ConditionError",
    "ControlError",
    "CycleError",
    "DeviceError",
    "DeviceLostError",
    "DocumentError",
    "DuplicateIdError",
    "EditConflictError",
    "EditError",
    "EditProblem",
    "GalaxyError",
    "HookError",
    "ImmutableError",
    "InputError",
    "InvalidPlanError",
    "JournalDamagedError",
    "JournalError",
    "JournalFailedError",
    "JournalVersionError",
    "NoDevicesError",
    "NoFittingDeviceError",
    "NotConnectedError",
    "OutcomeUnknownError",
    "PlanError",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "RequestError",
    "ResumeError",
    "RunError",
    "RunLockedError",
    "RunRefusedError",
    "SecretError",
    "SettingsError",
    "SimulatorError",
    "StrategyError",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskRefusedError",
    "TaskSkippedError",
    "TaskTimeoutError",
    "TransferError",
    "TransitionError",
    "UnknownDeviceError",
    "UnknownJournalError",
    "UnknownRecordedRunError",
    "UnknownRunError",
    "UnknownStrategyError",
    "UnknownTaskError",
    "UnknownTransportError",
    "nearest",
]
