"""The console script `galaxy`. It imports nothing at first, so that Ctrl-C ends it quietly from its first moment on."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # not from typing, which takes time
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        from galaxy_core_cli import root

        return root.main(arguments)
    except KeyboardInterrupt:
        return 130  # Exit.CANCELLED, which may not have been imported yet


if __name__ == "__main__":
    import sys

    sys.exit(main())
