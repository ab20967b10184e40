"""Throw-away SSH servers on this machine, for trying plans and for tests."""

from galaxy_core_ssh.simulate.simulator import SshSimulator

__all__ = ["SshSimulator"]
