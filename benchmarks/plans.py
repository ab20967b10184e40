"""What it costs to get from a plan document to a constellation: checked, built, searched for cycles.

    python benchmarks/plans.py --tasks 100000

CPU microseconds a task, the best of `--repeat` runs: for a document that was parsed already, and for YAML and JSON text.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

from galaxy_core import parse_plan


def document(tasks: int) -> dict[str, Any]:
    """A plan in which every task has three random prerequisites among the hundred tasks before it."""
    chance = random.Random(0)
    found: dict[str, Any] = {}
    for i in range(tasks):
        before = range(max(0, i - 100), i)
        needs = [f"t{a}" for a in chance.sample(before, min(3, len(before)))]
        found[f"t{i}"] = {"run": ["echo", str(i)], "needs": needs, "effect": "read"}
    return {"name": "benchmark", "tasks": found}


def best(repeat: int, run: Callable[[], object]) -> float:
    """CPU seconds of the fastest of some runs."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def as_yaml(plan: dict[str, Any]) -> str:
    """The plan as one would write it by hand."""
    lines = [f"name: {plan['name']}", "tasks:"]
    for task_id, keys in plan["tasks"].items():
        lines.append(
            f"  {task_id}: {{run: [echo, '{keys['run'][1]}'], needs: [{', '.join(keys['needs'])}], effect: read}}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    plan = document(options.tasks)
    as_text = {"yaml": as_yaml(plan), "json": json.dumps(plan)}
    parsed = best(options.repeat, lambda: parse_plan(plan).to_constellation())
    print(f"{options.tasks} tasks, 3 links each, CPU µs a task")
    print(f"checked and built, from a parsed document {parsed / options.tasks * 1e6:8.1f}  1.00 ×")
    for form, text in as_text.items():
        seconds = best(options.repeat, lambda text=text, form=form: parse_plan(text, form).to_constellation())  # type: ignore[misc]
        print(f"the same from {form.upper()} text {seconds / options.tasks * 1e6:24.1f}  {seconds / parsed:.2f} ×")
    loaded = best(options.repeat, lambda: json.loads(as_text["json"]))
    print(f"json.loads alone {loaded / options.tasks * 1e6:33.1f}  {loaded / parsed:.2f} ×")


if __name__ == "__main__":
    main()
