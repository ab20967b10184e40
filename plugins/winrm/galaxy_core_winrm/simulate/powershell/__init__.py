"""What a simulated host runs in place of PowerShell: a process of its own, in Python, of the standard library alone.

**No PowerShell is proved by it.** It knows three kinds of scripts: those that the adapter ships, by the SHA-256 of their
text, for which there are twins in Python (`twins`); those in the host's table of canned answers; and a few lines of the
language (`lines`), enough for a tutorial. A script of another kind ends with an error that says so.

Imports are relative: the process finds this folder as the package `powershell`, without the rest of Galaxy.
"""
