"""A plan as large as plans may be: 200,000 tasks in 50 MB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_core.errors import DocumentError
from galaxy_core.model.plan_file import load_plan

TASKS = 200_000
MEGABYTE = 10**6


def _lines() -> Iterator[str]:
    yield "name: large\ntasks:\n"
    for number in range(TASKS):
        needs = ", ".join(f"task-{earlier:06d}" for earlier in range(max(0, number - 2), number))
        yield f"  task-{number:06d}:\n    run: [echo, hello]\n    needs: [{needs}]\n    effect: read\n"
        yield f"    description: {'what it is for, at length; ' * 6}\n"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "plan.yaml"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_lines())
    assert path.stat().st_size > 50 * MEGABYTE
    return path


def test_a_plan_of_50_mb_and_200_000_tasks_is_read_and_built(large: Path) -> None:
    constellation = load_plan(large).to_constellation()
    assert constellation.task_count == TASKS
    assert constellation.dependency_count == 2 * TASKS - 3
    assert [task.task_id for task in constellation.get_ready_tasks()] == ["task-000000"]


def test_a_large_plan_is_refused_by_the_bounds_that_its_reader_sets(large: Path) -> None:
    with pytest.raises(DocumentError, match="has more than the 50,000,000 bytes that are read"):
        load_plan(large, max_bytes=50 * MEGABYTE)
