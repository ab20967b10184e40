"""What goes wrong between us, the adb server and a device. None of these leaves the plugin: sessions turn them into outcomes.

AdbFailureError
├── ServerGoneError      the server does not answer, or a conversation with it broke off
├── ServerSaysNoError    the server said FAIL, and why
└── GarbledError         what came is no protocol of adb's
"""

from __future__ import annotations

from galaxy_core_adb.texts import one_line


class AdbFailureError(Exception):
    """Base of these."""


class ServerGoneError(AdbFailureError):
    """The server cannot be reached, or has closed the conversation: it died, or the device's link was lost."""


class ServerSaysNoError(AdbFailureError):
    """The server said FAIL; `reason` is what it said.

    `is_lost` says that the device is not to be had, as opposed to a request that it does not take. `closed` says that the
    device, or the loss of its link, has closed a stream that was being opened: then nobody knows what it came to.
    """

    def __init__(self, reason: str) -> None:
        self.reason = one_line(reason)
        text = self.reason.casefold()
        self.is_lost = text.startswith("device") or "no devices" in text or "unauthorized" in text
        self.closed = text == "closed"
        super().__init__(self.reason or "the adb server refused without a reason")


class GarbledError(AdbFailureError):
    """What came is not what the protocol allows."""
