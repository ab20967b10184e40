"""The `galaxy` command."""
