"""Devices that cannot be used, or do not come together with tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from galaxy_core.errors.root import GalaxyError, brought_by, hint, listed, nearest


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
            f"{prefix}Device {device_id} is not registered{hint(self.near)}; "
            f"registered: {listed(names, 'none')}. Add it to the inventory, or name one of these."
        )


class UnknownStrategyError(AssignmentError):
    """No strategy of that name; `near` the names that may have been meant, `failed` broken plugins and their errors."""

    def __init__(self, name: str, known: Iterable[str] = (), failed: Mapping[str, str] | None = None) -> None:
        names = list(known)
        self.name, self.near, self.failed = name, nearest(name, names), dict(failed or {})
        super().__init__(
            f"Unknown assignment strategy: {name}{hint(self.near)}; "
            f"available: {listed(names, 'none')}. {brought_by('it', name, self.failed)}, or pass the plugin object."
        )


class NoFittingDeviceError(AssignmentError):
    """`missing` says for each device id what it lacks for the task; `tasks` are all ids of that kind.

    `pinned` is the device that the task is pinned to, and then the only one in `missing`; None when any would do.
    """

    def __init__(
        self, tasks: Sequence[str], needs: str, missing: Mapping[str, str], *, pinned: str | None = None
    ) -> None:
        self.tasks, self.needs, self.missing, self.pinned = tuple(tasks), needs, dict(missing), pinned
        who = listed(self.tasks, "none", most=5)
        if pinned is not None:
            lack = self.missing.get(pinned, "does not fit").rstrip(".")
            super().__init__(
                f"task {who} is pinned to device {pinned!r}, which {lack}. Mend that, or pin the task to another device."
            )
            return
        told = [f"device {device!r} {lack}" for device, lack in list(self.missing.items())[:20]]
        if len(self.missing) > len(told):
            told.append(f"and {len(self.missing) - len(told)} more")
        each = "; ".join(told)
        super().__init__(
            f"No device fits task {who}, which needs {needs}. {each or 'There are no devices'}. "
            "Add such a device, or change what the task asks for."
        )


class DeviceError(GalaxyError, RuntimeError):
    """A device cannot be used; `device_id` names it."""

    def __init__(self, device_id: str, message: str) -> None:
        self.device_id = device_id
        super().__init__(message)


class UnknownTransportError(DeviceError, ValueError):
    """No plugin brings that transport; `near` the names that may have been meant, `failed` broken plugins and their
    errors.
    """

    def __init__(
        self, device_id: str, transport: str, known: Iterable[str] = (), failed: Mapping[str, str] | None = None
    ) -> None:
        names = list(known)
        self.transport, self.near, self.failed = transport, nearest(transport, names), dict(failed or {})
        remedy = brought_by("it", transport, self.failed) if self.failed else "Install a plugin"
        example = "" if self.failed else f" such as galaxy-core-{transport}"
        super().__init__(
            device_id,
            f"device {device_id!r} wants transport {transport!r}, which no plugin brings{hint(self.near)}; "
            f"available: {listed(names, 'none')}. {remedy}{example}.",
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


class TransferError(DeviceError, OSError):
    """A file could not be pushed to a device or pulled from it; `path` is the file, `why` what came between.

    What stood at the target before is still there, whole.
    """

    def __init__(self, device_id: str, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(device_id, f"file {path!r} was not transferred: {why}")


class SimulatorError(GalaxyError, RuntimeError):
    """Simulated devices cannot be started here; `simulator` names them."""

    def __init__(self, simulator: str, why: str) -> None:
        self.simulator, self.why = simulator, why
        super().__init__(f"no simulated {simulator} can be started: {why}")
