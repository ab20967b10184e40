"""The faults that a host answers with: a code of Windows, its name in wsmerror.h, and what WS-Management says with it.

Codes are those of `wsmerror.h` (0x8033….) and of `winerror.h`; texts are in our words, since no client reads them.
Not known from a source, and therefore assumed: 995 for a Receive whose command is ended meanwhile is what clients report
(WinRb/WinRM #265); 87 for a command that does not exist.
"""

from __future__ import annotations

from xml.sax.saxutils import escape


class FaultError(Exception):
    """The request is answered with a SOAP fault; `code` is Windows' number."""

    def __init__(self, code: int, subcode: str, reason: str) -> None:
        self.code, self.subcode, self.reason = code, subcode, reason
        super().__init__(f"{code}: {reason}")

    @property
    def body(self) -> str:
        reason = escape(self.reason)
        # DSP0226 1.0, table of faults: those that the sender could have avoided.
        sender = self.subcode in {"InvalidSelectors", "InvalidParameter", "AccessDenied", "EncodingLimit"}
        return (
            f"<s:Fault><s:Code><s:Value>s:{'Sender' if sender else 'Receiver'}</s:Value>"
            f"<s:Subcode><s:Value>w:{self.subcode}</s:Value></s:Subcode></s:Code>"
            f'<s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason><s:Detail>'
            '<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
            f'Code="{self.code}" Machine="simulated"><f:Message>{reason}</f:Message></f:WSManFault></s:Detail></s:Fault>'
        )


def timed_out() -> FaultError:
    """ERROR_WSMAN_OPERATION_TIMEDOUT (0x80338029): no output yet, ask again."""
    return FaultError(2150858793, "TimedOut", "The operation ran into its OperationTimeout before there was output.")


def no_such_shell(shell_id: str) -> FaultError:
    """0x8033805B, which clients see of shells that have idled out or were deleted, too (WinRb/WinRM #265)."""
    return FaultError(2150858843, "InvalidSelectors", f"There is no shell with ShellId {shell_id} on this host.")


def no_such_command(command_id: str) -> FaultError:
    """ERROR_INVALID_PARAMETER."""
    return FaultError(87, "InvalidParameter", f"There is no command with CommandId {command_id} in this shell.")


def no_such_codepage(text: str) -> FaultError:
    """ERROR_INVALID_PARAMETER; what Windows says is assumed."""
    return FaultError(87, "InvalidParameter", f"There is no code page {text} here.")


def aborted() -> FaultError:
    """ERROR_OPERATION_ABORTED: what was waited for was ended by another request."""
    return FaultError(995, "InternalError", "The operation was aborted because its command or shell was ended.")


def not_found(program: str) -> FaultError:
    """HRESULT of ERROR_FILE_NOT_FOUND, which is what CreateProcess says."""
    return FaultError(2147942402, "InternalError", f"The system cannot find the file {program!r}.")


def not_a_folder(folder: str) -> FaultError:
    """HRESULT of ERROR_DIRECTORY: the shell's working directory is none."""
    return FaultError(2147942667, "InternalError", f"The directory name {folder!r} is invalid.")


def too_long(limit: int) -> FaultError:
    """HRESULT of ERROR_FILENAME_EXCED_RANGE: more than CreateProcess takes."""
    return FaultError(2147942606, "InternalError", f"The command line is longer than {limit} characters.")


def too_many_shells(limit: int) -> FaultError:
    """ERROR_WSMAN_QUOTA_MAX_SHELLS (0x803381A5)."""
    return FaultError(2150859173, "QuotaLimit", f"This user may have {limit} shells at a time, and has them.")


def too_many_operations(limit: int) -> FaultError:
    """ERROR_WSMAN_QUOTA_MAX_OPERATIONS (0x803381A6)."""
    return FaultError(2150859174, "QuotaLimit", f"This user may have {limit} operations at a time, and has them.")


def too_many_processes(limit: int) -> FaultError:
    """ERROR_WSMAN_QUOTA_MAX_COMMANDS_PER_SHELL_PPQ (0x803381E9)."""
    return FaultError(2150859241, "QuotaLimit", f"A shell may run {limit} commands at a time, and does.")


def envelope_too_large(limit: int) -> FaultError:
    """ERROR_WSMAN_ENVELOPE_TOO_LARGE (0x80338026)."""
    return FaultError(2150858790, "EncodingLimit", f"The message is larger than MaxEnvelopeSize, {limit} bytes.")


def not_yours() -> FaultError:
    """ERROR_ACCESS_DENIED: the shell of another user."""
    return FaultError(5, "AccessDenied", "Access is denied.")


def no_such_resource(resource: str) -> FaultError:
    """ERROR_WSMAN_INVALID_RESOURCE_URI (0x8033803B)."""
    return FaultError(2150858811, "InternalError", f"There is no provider of the resource {resource!r} here.")


def not_understood(verb: str) -> FaultError:
    """ERROR_NOT_SUPPORTED."""
    return FaultError(50, "InternalError", f"The action {verb!r} is not supported here.")
