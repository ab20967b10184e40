"""Simulated phones: they speak adb's device protocol to a real adb server, and really run commands. Linux only."""
