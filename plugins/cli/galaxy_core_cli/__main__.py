"""``python -m galaxy_core_cli`` is the command `galaxy`."""

from __future__ import annotations

import sys

from galaxy_core_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
