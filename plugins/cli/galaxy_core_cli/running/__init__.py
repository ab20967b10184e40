"""Running a plan from the command line: conducting the run, and telling of it while it lasts and when it is over."""
