"""`python -m tests.properties.sim --seeds 10000 --from 0 --backend both`: simulate many seeds, on every core.

Each seed in which something is wrong is printed with what it is; `--seeds 1 --from SEED --story` tells it whole. The exit
code is 1 if there was any.
"""

from __future__ import annotations

import sys

from tests.properties.seeds import command
from tests.properties.sim.simulation import simulate

if __name__ == "__main__":
    sys.exit(command("python -m tests.properties.sim", __doc__, simulate))
