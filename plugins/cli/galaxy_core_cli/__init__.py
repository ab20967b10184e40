"""The `galaxy` command.

`commands/` holds one module per command, light to import: whatever is heavy is imported when its command runs.
Data goes to standard output, messages to standard error; `exits` says what the exit codes mean.
"""
