"""What adapters have in common: output with a cap, confined paths, files, POSIX shells. Synchronous, and without any client
library, so that it serves whatever a transport stands on.
"""
