"""What is said of a whole plan: order, problems, paths, widths, bounds, figures, text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest

from galaxy_core.errors import CycleError
from galaxy_core.model import analysis
from galaxy_core.model.constellation import TaskConstellation
from galaxy_core.model.dependency import TaskStarLine
from galaxy_core.model.matching import bits, maximum_matching
from galaxy_core.model.result import TaskStatus
from galaxy_core.model.task import TaskStar

STATISTICS = {
    "constellation_id",
    "name",
    "state",
    "total_tasks",
    "total_dependencies",
    "task_status_counts",
    "longest_path_length",
    "longest_path_tasks",
    "max_width",
    "critical_path_length",
    "total_work",
    "parallelism_ratio",
    "parallelism_calculation_mode",
    "critical_path_tasks",
    "execution_duration",
    "created_at",
    "updated_at",
    "execution_start_time",
    "execution_end_time",
    "revision",
}


def plan_of(tasks: str, *links: str) -> TaskConstellation:
    """A plan of tasks with one-letter ids, and of links such as "ab" from a to b."""
    return TaskConstellation.build(
        map(TaskStar, tasks), [TaskStarLine(link[0], link[1]) for link in links], constellation_id="plan"
    )


def diamond() -> TaskConstellation:
    return plan_of("abcd", "ab", "ac", "bd", "cd")


def run_with(plan: TaskConstellation, durations: dict[str, float]) -> TaskConstellation:
    """End every task of a plan with success after the given seconds."""
    for task_id, duration in durations.items():
        task = plan.tasks[task_id]
        plan.begin(task, 0.0)
        plan.end(task, TaskStatus.COMPLETED, None, None, duration)
    return plan


# ----------------------------------------------------------------------------------------------- order
def test_the_order_follows_links_and_breaks_ties_by_age() -> None:
    assert plan_of("dcba", "ab").get_topological_order() == ["d", "c", "a", "b"]
    assert diamond().get_topological_order() == ["a", "b", "c", "d"]


def test_an_empty_plan_has_an_empty_order() -> None:
    assert TaskConstellation("plan").get_topological_order() == []


def with_cycle() -> TaskConstellation:
    """A plan whose second invariant was broken by force: b and c wait for each other."""
    plan = plan_of("abc", "ab", "bc")
    plan._attach(TaskStarLine("c", "b"), plan.tasks["c"], plan.tasks["b"])
    return plan


def test_a_cycle_that_came_in_by_force_is_found_and_named() -> None:
    plan = with_cycle()
    assert plan.has_cycle()
    assert analysis.topological_order(plan) is None
    with pytest.raises(ValueError, match=r"^DAG contains cycles: (b -> c -> b|c -> b -> c)$") as caught:
        plan.get_topological_order()
    assert isinstance(caught.value, CycleError)
    valid, problems = plan.validate_dag()
    assert not valid
    assert re.fullmatch("DAG contains cycles: (b -> c -> b|c -> b -> c)", problems[0])


# ----------------------------------------------------------------------------------------------- problems
def lose_source(plan: TaskConstellation) -> None:
    del plan._tasks["a"]


def lose_target(plan: TaskConstellation) -> None:
    del plan._tasks["b"]


def detach(plan: TaskConstellation) -> None:
    plan.tasks["b"]._in.clear()


def forget_link(plan: TaskConstellation) -> None:
    plan._lines.popitem()


def turn_order(plan: TaskConstellation) -> None:
    plan.tasks["a"]._order = plan.tasks["b"]._order + 1


def close_link(plan: TaskConstellation) -> None:
    next(iter(plan._lines))._open = False
    plan.tasks["b"]._pending -= 1


def forget_id(plan: TaskConstellation) -> None:
    plan.dependencies  # noqa: B018  gives each link its id
    plan._lines_by_id.clear()


def miscount_links(plan: TaskConstellation) -> None:
    plan.tasks["b"]._pending += 1


def free(plan: TaskConstellation) -> None:
    plan._ready[plan.tasks["b"]] = None


def hold(plan: TaskConstellation) -> None:
    plan._ready.clear()


def smuggle(plan: TaskConstellation) -> None:
    plan._ready[TaskStar("x")] = None


def miscount_statuses(plan: TaskConstellation) -> None:
    plan._counts[TaskStatus.FAILED] += 1


def disown(plan: TaskConstellation) -> None:
    plan.tasks["a"]._owner = None


def unlist(plan: TaskConstellation) -> None:
    plan._order._last = None


def unchain(plan: TaskConstellation) -> None:
    plan.tasks["a"]._after = None


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lose_source, "Dependency references non-existent source task a"),
        (lose_target, "Dependency references non-existent target task b"),
        (detach, "dependency a -> b is not attached to both of its tasks"),
        (forget_link, "1 dependencies are attached to tasks but not kept"),
        (turn_order, r"dependency a -> b stands against the order: \d+ is not before \d+"),
        (close_link, "dependency a -> b is closed, but its source is pending"),
        (forget_id, "dependency a -> b cannot be found by its id .*"),
        (miscount_links, "task b counts 2 pending dependencies, there are 1"),
        (free, "task b is not ready, the frontier says otherwise"),
        (hold, "task a is ready, the frontier says otherwise"),
        (smuggle, "the frontier holds 1 tasks that are not in the plan"),
        (miscount_statuses, "1 tasks are counted as failed, there are 0"),
        (disown, "task a is not this constellation's"),
        (unlist, "the order does not list each task once"),
        (unchain, "task a stands wrong in the order"),
    ],
)
def test_validation_trusts_no_counter(damage: Callable[[TaskConstellation], None], problem: str) -> None:
    plan = plan_of("ab", "ab")
    assert plan.validate_dag() == (True, [])
    damage(plan)
    valid, problems = plan.validate_dag()
    assert not valid
    assert any(re.fullmatch(problem, found) for found in problems), problems


def test_an_open_link_out_of_an_ended_task_is_a_problem_while_its_target_waits() -> None:
    plan = plan_of("ab", "ab")
    plan.withdraw(plan.tasks["a"], OSError("the run ends"), 1.0)
    assert "dependency a -> b is open, but its source is cancelled" in plan.validate_dag()[1]
    plan.withdraw(plan.tasks["b"], OSError("the run ends"), 1.0)
    assert plan.validate_dag() == (True, [])


# ----------------------------------------------------------------------------------------------- paths and widths
def test_the_figures_of_an_empty_plan_are_zero() -> None:
    plan = TaskConstellation("plan")
    assert plan.get_longest_path() == (0, [])
    assert plan.get_max_width() == 0
    assert plan.get_critical_path_length_with_time() == (0.0, [])
    assert plan.get_total_work() == 0.0
    assert analysis.maximum_antichain(plan) == []
    assert analysis.estimated_critical_path(plan) == (0.0, [])
    assert plan.get_parallelism_metrics() == {
        "critical_path_length": 0,
        "total_work": 0,
        "parallelism_ratio": 0.0,
        "calculation_mode": "empty",
        "critical_path_tasks": [],
        "max_width": 0,
    }


def test_the_longest_path_of_one_task_is_that_task() -> None:
    assert plan_of("a").get_longest_path() == (1, ["a"])


def test_the_longest_path_of_a_diamond_takes_the_first_of_equal_ways() -> None:
    assert diamond().get_longest_path() == (3, ["a", "b", "d"])
    assert diamond().get_max_width() == 2


def test_before_the_end_parallelism_counts_tasks() -> None:
    assert diamond().get_parallelism_metrics() == {
        "critical_path_length": 3,
        "total_work": 4,
        "parallelism_ratio": 4 / 3,
        "calculation_mode": "node_count",
        "critical_path_tasks": ["a", "b", "d"],
        "max_width": 2,
    }


def test_after_the_end_parallelism_counts_seconds() -> None:
    plan = run_with(diamond(), {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    assert plan.get_critical_path_length_with_time() == (8.0, ["a", "c", "d"])
    assert plan.get_total_work() == 10.0
    assert plan.get_parallelism_metrics() == {
        "critical_path_length": 8.0,
        "total_work": 10.0,
        "parallelism_ratio": 1.25,
        "calculation_mode": "actual_time",
        "critical_path_tasks": ["a", "c", "d"],
        "max_width": 2,
    }


def test_when_nothing_took_any_time_there_is_no_critical_path() -> None:
    plan = run_with(plan_of("ab", "ab"), {"a": 0.0, "b": 0.0})
    assert plan.get_critical_path_length_with_time() == (0.0, [])
    assert plan.get_parallelism_metrics()["parallelism_ratio"] == 0.0


def test_the_width_is_that_of_the_widest_wave_and_the_antichain_the_true_maximum() -> None:
    plan = plan_of("abcdef", "ab", "ac", "ad", "de", "df")
    assert plan.get_max_width() == 3
    assert analysis.maximum_antichain(plan) == ["b", "c", "e", "f"]


def test_an_antichain_too_large_to_compute_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"of 3 tasks is too expensive: the limit is 2\. .*get_max_width"):
        analysis.maximum_antichain(plan_of("abc"), limit=2)


def random_plans() -> Iterator[TaskConstellation]:
    dice = random.Random(7)
    for size in [1, 4, 6, 8, 9, 10, 10, 11]:
        for density in (0.1, 0.3, 0.6):
            ids = [str(index) for index in range(size)]
            dice.shuffle(ids)
            links = [TaskStarLine(*pair) for pair in combinations(ids, 2) if dice.random() < density]
            yield TaskConstellation.build(map(TaskStar, sorted(ids)), links)


def reached(plan: TaskConstellation) -> dict[str, set[str]]:
    after: dict[str, set[str]] = {}
    for task_id in reversed(plan.get_topological_order()):
        targets = [line.to_task_id for line in plan.get_task_dependents(task_id)]
        after[task_id] = set(targets).union(*(after[target] for target in targets))
    return after


def test_the_maximum_antichain_is_one_and_no_larger_one_exists() -> None:
    for plan in random_plans():
        after = reached(plan)

        def independent(ids: tuple[str, ...], after: dict[str, set[str]] = after) -> bool:
            return not any(one in after[other] for one in ids for other in ids)

        found = tuple(analysis.maximum_antichain(plan))
        assert independent(found)
        larger = combinations(plan.tasks, len(found) + 1)
        assert not any(independent(ids) for ids in larger)


def test_a_matching_pairs_each_vertex_once() -> None:
    partner, matched = maximum_matching([0b0110, 0b0010, 0b0010, 0b1000])
    assert sorted(right for right in partner if right >= 0) == [1, 2, 3]
    assert all(matched[right] == left for left, right in enumerate(partner) if right >= 0)


@pytest.mark.parametrize("mask", [0, 1, 0b1011, 1 << 200 | 1])
def test_bits_are_the_indices_of_those_that_are_set(mask: int) -> None:
    assert sum(1 << index for index in bits(mask)) == mask


def test_a_wide_and_deep_plan_has_its_antichain_within_reason() -> None:
    ids = [f"{layer}-{index}" for layer in range(20) for index in range(20)]
    dice = random.Random(3)
    links = [
        TaskStarLine(f"{layer}-{dice.randrange(20)}", f"{layer + 1}-{index}")
        for layer in range(19)
        for index in range(20)
    ]
    plan = TaskConstellation.build(map(TaskStar, ids), links)
    antichain = analysis.maximum_antichain(plan)
    assert len(antichain) >= plan.get_max_width()


# ----------------------------------------------------------------------------------------------- estimates
def test_estimates_give_a_critical_path_with_a_second_for_what_has_none() -> None:
    tasks = [TaskStar("a", estimate_s=2.0), TaskStar("b"), TaskStar("c", estimate_s=5.0), TaskStar("d", estimate_s=0.0)]
    links = [TaskStarLine("a", "b"), TaskStarLine("a", "c"), TaskStarLine("c", "d")]
    plan = TaskConstellation.build(tasks, links)
    assert analysis.estimated_critical_path(plan) == (7.0, ["a", "c"])
    assert analysis.lower_bound_s(plan, 1) == 8.0
    assert analysis.lower_bound_s(plan, 10) == 7.0


def test_a_bound_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one slot, not 0"):
        analysis.lower_bound_s(diamond(), 0)


# ----------------------------------------------------------------------------------------------- figures and text
def test_the_statistics_have_exactly_the_documented_keys() -> None:
    assert set(diamond().get_statistics()) == STATISTICS
    assert set(TaskConstellation("plan").get_statistics()) == STATISTICS


def test_the_statistics_are_plain_data_of_the_plan() -> None:
    plan = diamond()
    plan.start_execution()
    plan.mark_task_completed("a", success=True)
    found = plan.get_statistics()
    assert (found["constellation_id"], found["name"], found["state"]) == ("plan", "plan", "executing")
    assert (found["total_tasks"], found["total_dependencies"], found["revision"]) == (4, 4, 1)
    assert found["task_status_counts"] == {"completed": 1, "pending": 3}
    assert (found["longest_path_length"], found["longest_path_tasks"]) == (3, ["a", "b", "d"])
    assert (found["max_width"], found["parallelism_calculation_mode"]) == (2, "node_count")
    assert found["created_at"] == plan.created_at.isoformat()
    assert plan.execution_start_time is not None
    assert found["execution_start_time"] == plan.execution_start_time.isoformat()
    assert (found["execution_end_time"], found["execution_duration"]) == (None, None)


@pytest.mark.parametrize(
    ("mode", "lines"),
    [
        ("overview", ["tasks: 4, 2 pending, 1 failed, 1 skipped", "links: 4", "widest wave: 2, parallelism: 1.33"]),
        ("topology", ["wave 2:", "  d <- b, c"]),
        ("details", ["a: Look around [failed]", "  after a, success_only (Success-only dependency)", "  broke"]),
        ("execution", ["b: pending, ready", "c: skipped", "d: pending, waits for 1"]),
    ],
)
def test_a_plan_is_printed_in_each_mode(mode: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of("bcd", "bd", "cd")
    plan.add_task(TaskStar("a", "Look around"))
    plan.add_dependency(TaskStarLine("a", "b"))
    plan.add_dependency(TaskStarLine.create_success_only("a", "c"))
    plan.mark_task_completed("a", success=False, error=OSError("broke"))
    plan.display_dag(mode)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "plan (plan): executing, revision 4"
    assert [line for line in lines if line not in printed] == []


def test_an_unknown_mode_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'x' is none of overview, topology, details, execution$"):
        diamond().display_dag("x")


def test_the_execution_view_tells_durations() -> None:
    assert "a: completed in 1.500 s" in analysis.describe(run_with(plan_of("a"), {"a": 1.5}), "execution")


def test_a_chain_of_100_000_tasks_is_described_without_recursion() -> None:
    ids = [str(index) for index in range(100_000)]
    plan = TaskConstellation.build(map(TaskStar, ids), map(TaskStarLine, ids, ids[1:]))
    assert analysis.estimated_critical_path(plan)[0] == 100_000
    assert plan.get_max_width() == 1
