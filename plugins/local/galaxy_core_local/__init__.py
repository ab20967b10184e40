"""The transports for this machine: `local` runs real subprocesses, `python` calls functions of the embedding program."""
