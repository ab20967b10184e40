"""What happens: events, devices and lanes, assignment, runs, edits against running plans. On anyio alone."""
