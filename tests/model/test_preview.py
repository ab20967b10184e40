"""Previews: what a transaction would do, as data, as text and as a picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from galaxy_core import (
    Command,
    DependencyType,
    Expression,
    Reference,
    RetryPolicy,
    TaskConstellation,
    TaskPriority,
    TaskStar,
    TaskStarLine,
)
from galaxy_core.model.edits import (
    AddDependency,
    AddTask,
    Operation,
    RemoveDependency,
    RemoveTask,
    ReplacePlan,
    Transaction,
    UpdateDependency,
    UpdateTask,
)
from galaxy_core.model.figures import DeviceShare
from galaxy_core.model.preview import FieldChange, Preview, preview

SUCCESS, COMPLETION, ALWAYS, CONDITION = (
    DependencyType.SUCCESS_ONLY,
    DependencyType.COMPLETION_ONLY,
    DependencyType.UNCONDITIONAL,
    DependencyType.CONDITIONAL,
)


def link(source: str, target: str, kind: DependencyType = SUCCESS) -> TaskStarLine:
    return TaskStarLine(source, target, kind, line_id=f"{source}-{target}")


def plan(*ids: str, links: tuple[str, ...] = (), estimate_s: float | None = 2.0) -> TaskConstellation:
    """Tasks by their ids; links as "a-b"."""
    tasks = [TaskStar(task_id, estimate_s=estimate_s) for task_id in ids]
    ends = [name.split("-") for name in links]
    return TaskConstellation.build(
        tasks, [link(source, target) for source, target in ends], constellation_id="p", name="nightly"
    )


def chain() -> TaskConstellation:
    return plan("a", "b", "c", "d", links=("a-b", "b-c", "c-d"))


def of(constellation: TaskConstellation, *operations: Operation, base: int | None = None) -> Preview:
    return preview(constellation, Transaction(operations, base))


def end(constellation: TaskConstellation, task_id: str, *, success: bool = True) -> None:
    constellation.mark_task_completed(task_id, success, "done", None if success else ValueError("no"))


# ------------------------------------------------------------------------------------------------- a grammar of pictures
_LABEL = r'"(?:[A-Za-z0-9 ,.\u00c0-\U0010ffff…]|#\d{1,7};|</?b>|<br/>)*"'
_LINES = [
    r"flowchart LR",
    rf"  (?:n\d+|more)\[{_LABEL}\]",
    rf"  n\d+ (?:-->|==>|-\.->)(?:\|{_LABEL}\|)? n\d+",
    r"  classDef [a-z]+ [a-z-]+:[#0-9a-z ]+(?:,[a-z-]+:[#0-9a-z ]+)*",
    r"  class (?:n\d+|more)(?:,n\d+)* [a-z]+",
    r"  linkStyle \d+(?:,\d+)* [a-z-]+:[#0-9a-z ]+(?:,[a-z-]+:[#0-9a-z ]+)*",
]


def drawn(view: Preview) -> list[str]:
    """The lines of a picture that keeps to the grammar, to what Mermaid takes, and to tasks that it has."""
    picture = view.to_mermaid()
    assert len(picture) < 50_000
    lines = picture.splitlines()
    assert lines[0] == "flowchart LR"
    for line in lines:
        assert any(re.fullmatch(pattern, line) for pattern in _LINES), line
    nodes = {found[1] for line in lines if (found := re.match(r"  (n\d+|more)\[", line))}
    arrows = [line for line in lines if re.search(r"-->|==>|-\.->", line)]
    assert len(arrows) <= 500
    for line in arrows:
        assert {line.split()[0], line.split()[-1]} <= nodes
    for line in lines:
        if line.startswith("  class "):
            assert set(line.split()[1].split(",")) <= nodes
        if line.startswith("  linkStyle "):
            assert all(int(number) < len(arrows) for number in line.split()[1].split(","))
    return lines


# ------------------------------------------------------------------------------------------------- as data
def test_an_empty_transaction_changes_nothing() -> None:
    view = of(chain())
    assert view.is_empty
    assert view.is_sound
    assert view.before == view.after
    assert (view.holds, view.behind, view.skips, view.problems) == ((), (), (), ())
    assert "nothing would change" in view.to_text()
    assert "added" not in view.to_mermaid()


def test_a_plan_without_tasks_can_be_previewed() -> None:
    view = of(TaskConstellation("p"), AddTask(TaskStar("a")))
    assert view.before.critical_path == ()
    assert (view.before.width, view.after.width, view.after.critical_path) == (0, 1, ("a",))
    drawn(view)
    assert drawn(of(TaskConstellation("p"))) == ["flowchart LR"]


def test_a_changed_task_says_old_and_new_of_each_field() -> None:
    constellation = plan("a")
    request = Command(["cat"], stdin=Reference("b"))
    changes = {
        "priority": TaskPriority.HIGH,
        "timeout": 30,
        "requires": frozenset({"x", "w"}),
        "retry": RetryPolicy(3.0),
        "request": request,
    }
    view = of(constellation, AddTask(TaskStar("b")), AddDependency(link("b", "a")), UpdateTask("a", changes))
    assert view.is_sound
    (changed,) = view.tasks_changed
    found = {one.name: (one.before, one.after) for one in changed.fields}
    assert found["priority"] == ("medium", "high")
    assert found["timeout"] == (None, 30)
    assert found["requires"] == ([], ["w", "x"])
    assert found["retry"][1]["backoff_s"] == 3.0
    assert found["request"] == (None, request.to_dict())


def test_added_and_removed_tasks_tell_what_they_say() -> None:
    view = of(plan("a", "b", links=("a-b",)), AddTask(TaskStar("new", "New", timeout=3)), RemoveTask("b"))
    (added,), (removed,) = view.tasks_added, view.tasks_removed
    assert (added.task_id, added.name) == ("new", "New")
    assert added.fields == (FieldChange("name", None, "New"), FieldChange("timeout", None, 3))
    assert removed.fields == (FieldChange("estimate_s", 2.0, None),)
    assert [line.line_id for line in view.links_removed] == ["a-b"]


def test_a_changed_link_says_old_and_new_of_each_field() -> None:
    condition = {"dependency_type": CONDITION, "condition_evaluator": Expression("exit_code == `0`")}
    view = of(chain(), UpdateDependency("a-b", condition))
    (changed,) = view.links_changed
    assert (changed.kind, changed.from_task_id, changed.to_task_id) == ("conditional", "a", "b")
    assert changed.fields == (
        FieldChange("dependency_type", "success_only", "conditional"),
        FieldChange("condition_evaluator", None, "exit_code == `0`"),
    )


def test_a_function_is_told_by_its_name() -> None:
    view = of(chain(), UpdateDependency("a-b", {"dependency_type": CONDITION, "condition_evaluator": bool_of}))
    assert view.links_changed[0].fields[1].after == f"{bool_of.__module__}:bool_of"


def bool_of(payload: object) -> bool:
    raise AssertionError("a preview calls no condition that is a function")


def test_what_is_taken_out_and_added_anew_is_changed_not_both() -> None:
    view = of(chain(), RemoveTask("b"), AddTask(TaskStar("b", timeout=3)), AddDependency(link("c", "b")))
    assert (view.tasks_added, view.tasks_removed) == ((), ())
    (changed,) = view.tasks_changed
    assert changed.is_replaced
    assert changed.fields == (FieldChange("timeout", None, 3), FieldChange("estimate_s", 2.0, None))
    assert view.after.tasks == 4
    assert "~ b" in view.to_text()
    assert '["<b>#126; b</b><br/>anew"]' in view.to_mermaid()


def test_a_link_that_leads_elsewhere_now_is_changed() -> None:
    moved = TaskStarLine("a", "d", SUCCESS, line_id="a-b")
    view = of(chain(), RemoveDependency("a-b"), AddDependency(moved))
    (changed,) = view.links_changed
    assert changed.is_replaced
    assert changed.fields == (FieldChange("to_task_id", "b", "d"),)
    marks = [(line.from_task_id, line.to_task_id, line.mark) for line in view.sketch.links if line.mark]
    assert marks == [("a", "d", "added"), ("a", "b", "removed")]


def test_holds_are_the_touched_tasks_and_behind_are_those_that_wait_for_them() -> None:
    constellation = plan("z", "a", "b", "c", "d", "e", links=("a-b", "b-c", "c-d", "z-e"))
    view = of(constellation, UpdateTask("c", {"timeout": 1}), AddDependency(link("z", "a")))
    assert view.holds == ("a", "c")
    assert view.behind == ("b", "d")


def test_what_has_started_is_not_held() -> None:
    constellation = chain()
    end(constellation, "a")
    constellation.start_task("b")
    assert of(constellation, RemoveTask("b")).holds == ()
    assert of(constellation, RemoveTask("c")).holds == ("c", "d")


def test_figures_before_and_after() -> None:
    constellation = chain()
    operations = (AddTask(TaskStar("e", estimate_s=10, target_device_id="y")), AddDependency(link("a", "e")))
    view = preview(constellation, Transaction(operations), loads={"x": 1, "y": 2})
    assert (view.before.tasks, view.after.tasks) == (4, 5)
    assert (view.before.links, view.after.links) == (3, 4)
    assert (view.before.critical_path_s, view.after.critical_path_s) == (8.0, 12.0)
    assert (view.before.critical_path, view.after.critical_path) == (("a", "b", "c", "d"), ("a", "e"))
    assert (view.before.width, view.after.width) == (1, 2)
    assert (view.before.work_s, view.after.work_s) == (8.0, 18.0)
    assert (view.slots, view.after.lower_bound_s) == (3, 12.0)
    assert view.before.devices == (DeviceShare("x", 0, 0.0, 1), DeviceShare("y", 0, 0.0, 2), DeviceShare(None, 4, 8.0))
    assert view.after.devices[1] == DeviceShare("y", 1, 10.0, 2)


def test_the_lower_bound_is_of_the_slots_when_they_are_few() -> None:
    view = preview(plan("a", "b", "c"), Transaction((AddTask(TaskStar("d")),)), loads={"x": 1})
    assert (view.before.lower_bound_s, view.after.lower_bound_s) == (6.0, 7.0)


def test_what_is_still_ahead_leaves_out_what_has_ended() -> None:
    constellation = chain()
    end(constellation, "a")
    view = of(constellation, RemoveTask("d"))
    assert (view.before.critical_path_s, view.before.remaining_s) == (8.0, 6.0)
    assert (view.after.critical_path_s, view.after.remaining_s) == (6.0, 4.0)
    assert view.before.devices == (DeviceShare(None, 3, 6.0),)


def test_a_device_that_a_strategy_chose_stays_until_another_is_asked_for() -> None:
    constellation = plan("a", "b")
    constellation._tasks["a"]._target_device_id = "x"
    view = of(constellation, UpdateTask("a", {"timeout": 3}), UpdateTask("b", {"target_device_id": "y"}))
    assert view.after.devices == (DeviceShare("x", 1, 2.0), DeviceShare("y", 1, 2.0))
    assert [field.name for field in view.tasks_changed[0].fields] == ["timeout"]


def test_slots_may_be_given_as_the_loads_that_strategies_get() -> None:
    from galaxy_core.extension.interfaces import DeviceLoad

    load = DeviceLoad("x", None, frozenset(), {}, 4)
    assert preview(chain(), Transaction(()), loads={"x": load}).slots == 4


def test_slots_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="device 'x' cannot have -1 slots"):
        preview(chain(), Transaction(()), loads={"x": -1})


def test_a_task_that_would_be_skipped_at_once_is_told_with_those_behind_it() -> None:
    constellation = plan("bad", "a", "b", "c", "d", links=("a-b",))
    constellation.add_dependency(link("b", "c", COMPLETION))
    constellation.add_dependency(link("a", "d"))
    end(constellation, "bad", success=False)
    operations = (AddDependency(link("bad", "a")), UpdateDependency("a-d", {"dependency_type": ALWAYS}))
    view = of(constellation, *operations)
    assert view.skips == ("a", "b")
    assert "skips at once a, b" in view.to_text()
    assert view.after.remaining_s == 2.0  # c and d


def test_conditions_that_are_functions_are_not_called() -> None:
    constellation = plan("bad", "a")
    end(constellation, "bad", success=False)
    view = of(constellation, AddDependency(TaskStarLine("bad", "a", CONDITION, "so", bool_of)))
    assert view.skips == ()
    expression = TaskStarLine("bad", "a", CONDITION, "so", Expression("status == 'completed'"))
    assert of(constellation, AddDependency(expression)).skips == ("a",)


def test_it_carries_both_revisions_and_does_not_follow_the_plan() -> None:
    constellation = chain()
    view = of(constellation, UpdateTask("b", {"name": "x"}), base=1)
    said = json.dumps(view.to_dict())
    constellation.remove_task("b")
    assert (view.revision, view.base_revision) == (1, 1)
    assert json.dumps(view.to_dict()) == said
    later = of(constellation, UpdateTask("b", {"name": "x"}), base=1)
    assert later.revision == 2
    assert [problem.is_conflict for problem in later.problems] == [True]


def test_data_that_changes_later_does_not_change_a_preview() -> None:
    data = {"deep": [1]}
    view = of(plan("a"), UpdateTask("a", {"task_data": data}))
    data["deep"].append(2)
    assert view.tasks_changed[0].fields[0].after == {"deep": [1]}


# ------------------------------------------------------------------------------------------------- what cannot be
def test_the_sound_part_of_what_cannot_be_is_shown() -> None:
    constellation = chain()
    end(constellation, "a")
    view = of(constellation, RemoveTask("a"), UpdateTask("nowhere", {"timeout": 1}), AddTask(TaskStar("e")))
    assert [problem.kind for problem in view.problems] == ["started", "unknown"]
    assert view.violated == ("I3",)
    assert [task.task_id for task in view.tasks_added] == ["e"]
    assert view.after.tasks == 5


def test_a_cycle_is_named_and_marked_and_has_no_path() -> None:
    view = of(chain(), AddDependency(link("d", "b")))
    assert view.violated == ("I2",)
    assert view.cycle == ("b", "c", "d", "b")
    after = view.after
    assert (after.critical_path_s, after.width, after.lower_bound_s, after.remaining_s) == (None, None, None, None)
    assert after.work_s == 8.0
    lines = drawn(view)
    assert '  n1["<b>b</b><br/>in a cycle"]' in lines
    assert '  n0["<b>a</b>"]' in lines
    assert '  n3 ==>|"#43; success in a cycle"| n1' in lines
    assert '  n1 -->|"success in a cycle"| n2' in lines
    assert "cycle: b -> c -> d -> b" in view.to_text()


def test_a_cycle_is_told_beside_other_problems() -> None:
    view = of(chain(), AddDependency(link("d", "b")), RemoveTask("nowhere"))
    assert [problem.kind for problem in view.problems] == ["unknown", "cycle"]


def test_a_task_that_waits_for_itself_is_a_cycle() -> None:
    view = of(chain(), AddDependency(link("b", "b")))
    assert view.cycle == ("b", "b")
    assert '  n1 ==>|"#43; success in a cycle"| n1' in drawn(view)


def test_a_revision_of_the_future_shows_no_change() -> None:
    view = of(chain(), RemoveTask("a"), base=99)
    assert [problem.kind for problem in view.problems] == ["future"]
    assert view.is_empty


def test_an_estimate_that_is_no_number_counts_as_none() -> None:
    view = of(plan("a"), UpdateTask("a", {"estimate_s": float("nan")}), AddTask(TaskStar("b", estimate_s=-5)))
    assert view.after.work_s == 2.0
    json.dumps(view.to_dict(), allow_nan=False)


def test_the_plan_may_be_replaced_whole() -> None:
    wanted = plan("a", "b", "x", links=("a-b", "b-x"))
    view = of(chain(), ReplacePlan(wanted))
    assert [task.task_id for task in view.tasks_added] == ["x"]
    assert [task.task_id for task in view.tasks_removed] == ["c", "d"]
    assert [line.line_id for line in view.links_added] == ["b-x"]


# ------------------------------------------------------------------------------------------------- as text
def example() -> Preview:
    constellation = plan("facts", "level", "probe", "report", links=("facts-report", "level-report", "probe-report"))
    constellation._tasks["level"].target_device_id = "pixel"
    end(constellation, "facts")
    operations = (
        AddTask(TaskStar("check", "Check the level", estimate_s=5)),
        AddDependency(link("level", "check")),
        RemoveTask("probe"),
        UpdateTask("report", {"timeout": 30, "priority": TaskPriority.HIGH}),
    )
    return preview(constellation, Transaction(operations, 2, "look first", "ann"), loads={"pixel": 1, "here": 4})


def test_the_text_of_a_preview() -> None:
    assert example().to_text() == TEXT


TEXT = """\
nightly at revision 2: look first, based on revision 2
it can be committed
tasks: 1 added, 1 removed, 1 changed
  - probe
  ~ report  priority medium -> high, timeout none -> 30
  + check   Check the level
links: 1 added, 1 removed
  - probe -> report  after success
  + level -> check   after success
holds probe, report
                      before  after
tasks                      4      4
links                      3      3
width                      3      2    -1
critical path            4 s    7 s  +3 s
work                     8 s   11 s  +3 s
at least, on 5 slots     4 s    7 s  +3 s
still ahead              4 s    7 s  +3 s
critical path: level -> check
left to do:
  on pixel       1 task, 2 s
  no device yet  2 tasks, 4 s -> 2 tasks, 7 s
"""


def test_the_picture_of_a_preview() -> None:
    drawn(example())
    assert example().to_mermaid() == PICTURE


PICTURE = """\
flowchart LR
  n0["<b>facts</b><br/>completed"]
  n1["<b>level</b>"]
  n2["<b>− probe</b>"]
  n3["<b>#126; report</b><br/>priority, timeout"]
  n4["<b>#43; check</b><br/>Check the level"]
  n1 ==>|"#43; success"| n4
  n2 -.->|"− success"| n3
  n0 -->|"success"| n3
  n1 -->|"success"| n3
  classDef added fill:#dafbe1,stroke:#1a7f37,stroke-width:2px,color:#1f2328
  class n4 added
  classDef removed fill:#ffebe9,stroke:#cf222e,stroke-width:2px,stroke-dasharray:6 4,color:#1f2328
  class n2 removed
  classDef changed fill:#fff8c5,stroke:#9a6700,stroke-width:2px,color:#1f2328
  class n3 changed
  classDef same fill:#f6f8fa,stroke:#8c959f,color:#1f2328
  class n0,n1 same
  linkStyle 0 stroke:#1a7f37,stroke-width:3px
  linkStyle 1 stroke:#cf222e,stroke-width:2px,stroke-dasharray:6 4
"""


def test_the_text_of_what_cannot_be() -> None:
    view = of(chain(), AddDependency(link("d", "b")))
    assert view.to_text().splitlines()[:5] == [
        "nightly at revision 1: Add dependency: d -> b",
        "it cannot be committed: 1 problem; what follows is the sound part",
        "  operation 0: the plan would have a cycle: b -> c -> d -> b",
        "links: 1 added",
        "  + d -> b  after success",
    ]


@pytest.mark.parametrize("lead", ["", "x" * 20, "x" * 200])
def test_of_long_values_one_sees_where_they_differ(lead: str) -> None:
    for before, after in ((f"{lead}one{lead}", f"{lead}two{lead}"), (lead, f"{lead}!"), (lead, "z" * 300)):
        constellation = plan("a")
        constellation.tasks["a"].description = before or "?"
        view = preview(constellation, Transaction([UpdateTask("a", {"description": after})]))
        (line,) = [line for line in view.to_text().splitlines() if line.startswith("  ~ a")]
        shown, _, other = line.partition("description ")[2].partition(" -> ")
        assert shown != other
        assert max(len(shown), len(other)) <= 24


def test_both_values_fit_whatever_the_task_and_the_field_are_called() -> None:
    constellation = plan("a" * 90)
    view = preview(constellation, Transaction([UpdateTask("a" * 90, {"expected_output_type": "y" * 90})]))
    (line,) = [line for line in view.to_text().splitlines() if line.startswith("  ~ a")]
    assert line.endswith(f"expected_output_type none -> {'y' * 23}…")


def test_a_text_that_looks_like_nothing_is_told_from_it() -> None:
    view = of(plan("a"), UpdateTask("a", {"expected_output_type": "none"}))
    assert 'expected_output_type null -> "none"' in view.to_text()


def test_a_cycle_that_only_a_refusal_leads_to_is_no_problem_of_its_own() -> None:
    constellation = chain()
    constellation.mark_task_completed("a", success=True)
    constellation.tasks["b"].start_execution()
    view = of(constellation, RemoveTask("b"), AddDependency(link("d", "c")), RemoveTask("nowhere"))
    assert [problem.kind for problem in view.problems] == ["started", "unknown", "cycle"]
    turned = of(constellation, RemoveDependency(("a", "b")), AddDependency(link("c", "b")))
    assert [problem.kind for problem in turned.problems] == ["started", "started"]


def crowd() -> Preview:
    """Much of everything: more than any form can show."""
    ids = [f"task-{number}" for number in range(400)]
    constellation = plan(*ids)
    for number in range(0, 400, 2):
        constellation.add_dependency(link(ids[0], ids[number + 1]))
    constellation._tasks["task-5"].target_device_id = "x" * 500
    operations: list[Operation] = [RemoveTask(f"gone-{number}") for number in range(30)]
    operations += [RemoveTask(ids[number]) for number in range(200, 230)]
    operations += [UpdateTask(task_id, {"task_data": {"x": "y" * 500}}) for task_id in ids[:50]]
    operations += [AddTask(TaskStar(f"<{number}>" * 90, "~" * 500)) for number in range(300)]
    operations += [
        AddDependency(TaskStarLine(f"<{number}>" * 90, ids[number], CONDITION, ":" * 400)) for number in range(200)
    ]
    loads = {f"device-{number}": 1 for number in range(30)}
    return preview(constellation, Transaction(operations, description="d" * 900), loads=loads)


def test_a_text_is_never_long() -> None:
    lines = crowd().to_text().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert lines[6] == "  and 26 more"


def test_a_text_holds_nothing_that_a_terminal_would_act_on() -> None:
    nasty = "a\x1b[31m\n\t\u202eb\ud800\x9b"
    view = of(plan(nasty, "b"), UpdateTask(nasty, {"name": nasty}), AddDependency(link(nasty, "b")))
    text = view.to_text()
    assert text.isprintable() is False  # its own line ends
    assert "".join(text.splitlines()).isprintable()
    text.encode()
    json.dumps(view.to_dict())
    view.to_mermaid().encode()
    drawn(view)


# ------------------------------------------------------------------------------------------------- as a picture
def test_a_picture_of_too_much_stays_within_what_mermaid_takes() -> None:
    lines = drawn(crowd())
    assert any(line.startswith('  more["and ') for line in lines)


def test_a_large_plan_is_drawn_around_what_is_touched() -> None:
    ids = [f"t{number}" for number in range(100)]
    constellation = plan(*ids, links=tuple(f"t{number}-t{number + 1}" for number in range(99)))
    view = of(constellation, UpdateTask("t50", {"timeout": 1}), RemoveDependency("t70-t71"))
    assert [task.task_id for task in view.sketch.tasks] == ["t49", "t50", "t51", "t70", "t71"]
    assert (view.sketch.more_tasks, view.sketch.more_links) == (95, 96)
    assert '  more["and 95 more tasks and 96 more links"]' in drawn(view)


def test_a_plan_that_is_not_large_is_drawn_whole() -> None:
    constellation = plan(*(f"t{number}" for number in range(59)))
    assert len(of(constellation, AddTask(TaskStar("x"))).sketch.tasks) == 60
    assert len(of(constellation, AddTask(TaskStar("x")), AddTask(TaskStar("y"))).sketch.tasks) == 2


@pytest.mark.parametrize(
    "name",
    [
        '"];click n0 href "javascript:alert(1)"',
        "<img src=x onerror=alert(1)>",
        "end",
        "]:::removed --> n7",
        "%%{init: {}}%%",
        "`**md**` _x_",
        "&lt;b&gt; #60;",
        "a|b{c}(d)",
        "- list\n1. list",
    ],
)
def test_no_name_can_break_a_picture(name: str) -> None:
    view = of(
        plan(name, "b"),
        UpdateTask(name, {"name": name + "!"}),
        AddDependency(TaskStarLine(name, "b", CONDITION, name)),
    )
    lines = drawn(view)
    shown = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), lines[1])
    assert f"~ {name}".replace("\n", "\\n") in shown.replace("\u200b", "")
    assert sum(line.startswith("  n") for line in lines) == 3  # two tasks and the link


@pytest.mark.parametrize("word", ["$$x$$$", "a\\nb", "fa:fa-car", "ﬂ°°60¶ß"])
def test_words_that_mean_something_as_codes_too_are_taken_apart(word: str) -> None:
    lines = drawn(of(plan("a"), AddTask(TaskStar(word))))
    shown = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), lines[2])
    assert word not in shown
    assert word in shown.replace("\u200b", "")


@pytest.mark.parametrize("form", [TEXT, PICTURE], ids=["text", "picture"])
def test_the_page_of_the_manual_shows_this_example(form: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "preview.md"
    assert form in page.read_text(encoding="utf-8")
