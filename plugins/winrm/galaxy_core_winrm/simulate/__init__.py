"""A simulated Windows host: WS-Management with NTLM, on which commands really run. Needs the extra `simulate`, and Linux.

Three ways to it: `host.windows_host()` in this process, on asyncio or trio; `child.windows_children()` in another one, which
takes orders as lines of JSON and can be frozen; `simulator.WindowsSimulator` for `galaxy simulate windows`.

What it stands for, and what not:

* The protocol is real: HTTP, TLS, NTLM bare and inside SPNEGO, sealed messages, shells, faults, quotas. pywinrm, pypsrp and
  awinrm talk to it. Not there: Kerberos, CredSSP, client certificates, PowerShell remoting (PSRP), http.sys' own limits.
* Commands are real processes of this machine, in a folder that plays the drive C:. cmd.exe is a translation of a part of its
  language (`cmd`); programs are those of this machine.
* **There is no PowerShell.** See `powershell`: the adapter's scripts have twins in Python, a few lines of the language are
  known, everything else is refused in words, or answered from a table.
* Faults that no source tells are assumed, and listed in `fault_codes`. That a host answers 500 without an envelope to messages
  that are not sealed is assumed, too.
* It confines nothing: a command can do what who runs it can.
"""
