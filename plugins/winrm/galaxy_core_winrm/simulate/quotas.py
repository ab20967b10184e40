"""What a host grants to each user (MS-WSMV 2.2.4.42; defaults of Windows Server 2012 and later)."""

from __future__ import annotations

from attrs import define


@define
class Quotas:
    """Limits that may be changed while the host runs.

    Windows Server 2008 R2 has 5 shells, 15 processes and 15 operations. An operation is a shell or a command; ending a
    command by Signal does not give its operation back, which only deleting its shell does (MS-WSMV, note 118).
    """

    shells: int = 30
    processes_per_shell: int = 25
    operations: int = 1500
    envelope_kb: int = 500
    idle_timeout_s: float = 7200.0
