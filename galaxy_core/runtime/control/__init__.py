"""The control socket, through which other processes of the same user reach a run."""
