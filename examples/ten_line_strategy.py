"""An assignment strategy in ten lines, passed as a plain object: nothing to install, nothing to register.

python examples/ten_line_strategy.py
"""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_core import Command, Device, Placement, TaskConstellation, TaskStar, run_constellation


class Alphabetical:
    """The strategy: tasks whose id begins with a to m go to the first device that fits, the others to the last."""

    name = "alphabetical"

    def assign(self, placement: Placement, /) -> Mapping[str, str]:
        return {task.task_id: task.fitting[0 if task.task_id < "n" else -1] for task in placement.tasks}


def main() -> dict[str, str | None]:
    """The device of each task."""
    plan = TaskConstellation(name="letters")
    for word in ("alpha", "beta", "omega", "zeta"):
        plan.add_task(TaskStar(word, request=Command(["echo", word])))
    devices = [Device("first"), Device("second")]
    run = run_constellation(plan, devices, strategy="alphabetical", plugins=[Alphabetical()])
    return {task_id: result.device_id for task_id, result in run["results"].items()}


if __name__ == "__main__":
    for task_id, device_id in main().items():
        print(f"{task_id} ran on {device_id}")
