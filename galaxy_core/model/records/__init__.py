"""Records of runs: what a journal keeps, written and read by the kernel alone."""
