"""What `import galaxy_core` costs: CPU milliseconds in a fresh interpreter, beside imports that people know.

python benchmarks/imports.py --repeat 10
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

MODULES = ["galaxy_core", "asyncio", "anyio", "attrs", "pydantic", "rich.live", "click"]
CODE = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


#: Compiled once, as an installed package is; without this, an environment that forbids bytecode files doubles the time.
CACHED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def import_s(module: str) -> float | None:
    """CPU seconds of one import in a fresh interpreter; None when it is not installed."""
    command = [sys.executable, "-c", CODE.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=CACHED)
    return float(done.stdout) if done.returncode == 0 else None


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=10)
    options = parser.parse_args()
    found: dict[str, list[float]] = {module: [] for module in MODULES}
    for module in MODULES:
        import_s(module)
    for _ in range(options.repeat):
        for module in MODULES:
            seconds = import_s(module)
            if seconds is not None:
                found[module].append(seconds)
    ours = statistics.median(found["galaxy_core"])
    for module, times in found.items():
        if times:
            median = statistics.median(times)
            print(f"import {module:<12} {median * 1e3:6.0f} ms (best {min(times) * 1e3:.0f})  {median / ours:5.2f} ×")


if __name__ == "__main__":
    main()
