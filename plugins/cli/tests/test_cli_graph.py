"""`galaxy graph` draws plans that people can read, in text and as pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_core_cli.drawing.layout import GAP_Y, layout
from galaxy_core_cli.exits import Exit

from .asking import Galaxy, Write

SVG = "{http://www.w3.org/2000/svg}"
PLAN = """
    name: small & <b>
    tasks:
      one: {run: [echo, 'a "quoted" \\\\ <b>&amp;'], device: here}
      end: {run: [echo], needs: [one]}
      ended: {run: [echo], needs: [{task: one, on: completion}]}
      always: {run: [echo], needs: [{task: one, on: always}], name: 'Come what "may" & go'}
      maybe: {run: [echo], needs: [{task: one, when: "exit_code == `0` && stdout == '<'"}], requires: [camera]}
"""


def test_mermaid_has_a_node_for_each_task_and_an_arrow_for_each_link(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", PLAN)
    lines = galaxy("graph", "plan.yaml").out.splitlines()
    assert lines[0] == "flowchart LR"
    assert [line.split("[")[0] for line in lines[1:6]] == ["  n0", "  n1", "  n2", "  n3", "  n4"]
    assert lines[6:] == [
        "  n0 --> n1",
        '  n0 -.->|"completion"| n2',
        '  n0 -.->|"always"| n3',
        '  n0 -.->|"if exit_code == #96;0#96; #38;#38; stdout == #39;#60;#39;"| n4',
        "  linkStyle 1 stroke-dasharray: 7 4",
        "  linkStyle 2 stroke-dasharray: 1.5 4",
        "  linkStyle 3 stroke-dasharray: 9 3 2 3, stroke: #9a6700",
    ]
    assert "<b>always (Come what #34;may#34; #38; go)</b>" in lines[4]
    assert "on any camera" in lines[5]


def test_what_mermaid_takes_for_markup_is_encoded(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", PLAN)
    label = galaxy("graph", "plan.yaml").out.splitlines()[1]
    text = re.sub(r"</?b>|<br/>", "", label.partition("[")[2])
    assert re.fullmatch(r'"[^"<>&\\]*"\]', text)


def test_dot_quotes_what_has_to_be_quoted(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", PLAN)
    out = galaxy("graph", "plan.yaml", "--format", "dot").out
    assert out.startswith('digraph "small & <b>" {\n')
    assert out.endswith("}\n")
    assert '"one" -> "end";' in out
    assert '"one" -> "ended" [style=dashed, label=completion];' in out
    assert '"one" -> "always" [style=dotted, label=always];' in out
    assert re.search(r'"one" -> "maybe" \[style=bold, color=.*, label="if exit_code == `0` && stdout == \'<\'"\];', out)
    assert r'label="always (Come what \"may\" & go)\necho"' in out
    assert r"a \"quoted\" \\\\ <b>&amp;" in out


def test_svg_is_a_picture_with_every_task_and_link(galaxy: Galaxy, write: Write) -> None:
    folder = write("plan.yaml", PLAN).parent
    done = galaxy("graph", "plan.yaml", "-o", "plan.svg")
    assert (done.code, done.out) == (0, "")
    root = ET.parse(folder / "plan.svg").getroot()  # noqa: S314  we have made it ourselves
    titles = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "title"]
    assert titles == ["one", "end", "ended", 'always (Come what "may" & go)', "maybe"]
    boxes = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "box"]
    assert len(boxes) == 5
    [group] = root.iter(f"{SVG}g")
    kinds = ["link success", "link completion", "link always", "link condition"]
    assert [path.get("class") for path in group.iter(f"{SVG}path")] == kinds
    links = [path.get("class") for path in root.iter(f"{SVG}path") if path.get("class")]
    assert links[len(kinds) :] == kinds  # the legend
    styles = root.findtext(f"{SVG}style") or ""
    patterns = re.findall(r"\.(?:completion|always|condition) \{ stroke-dasharray: ([\d. ]+)", styles)
    assert len(set(patterns)) == 3
    assert any("if exit_code" in (text.text or "") for text in root.iter(f"{SVG}text"))
    assert root.findtext(f"{SVG}title") == "small & <b>"


@pytest.mark.parametrize(
    ("suffix", "beginning"), [("mmd", "flowchart"), ("dot", "digraph"), ("svg", "<svg"), ("txt", "flowchart")]
)
def test_the_suffix_of_the_file_says_the_format(suffix: str, beginning: str, galaxy: Galaxy, write: Write) -> None:
    folder = write("plan.yaml", PLAN).parent
    assert galaxy("graph", "plan.yaml", "--output", f"plan.{suffix}").code == 0
    assert (folder / f"plan.{suffix}").read_text(encoding="utf-8").startswith(beginning)


def test_a_suffix_that_says_no_format_is_refused_with_those_that_do(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {a: {run: [x]}}")
    done = galaxy("graph", "plan.yaml", "-o", "plan.png")
    assert done.code == Exit.REFUSED
    assert "cannot tell the format from '.png'; known are .mmd (mermaid)" in " ".join(done.err.split())
    assert not Path("plan.png").exists()
    assert galaxy("graph", "plan.yaml", "-o", "plan.png", "--format", "svg").code == 0
    assert galaxy("graph", "plan.yaml", "-o", "plan").code == 0


def test_an_empty_plan_is_an_empty_drawing(galaxy: Galaxy, write: Write) -> None:
    write("plan.yaml", "tasks: {}")
    for kind in ("mermaid", "dot", "svg"):
        assert galaxy("graph", "plan.yaml", "--format", kind).code == 0


def test_a_picture_that_nobody_could_read_is_refused(galaxy: Galaxy, write: Write) -> None:
    write("plan.json", json.dumps({"tasks": {f"t{n}": {"run": ["x"]} for n in range(1001)}}))
    done = galaxy("graph", "plan.json", "--format", "svg")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "--format dot" in done.err
    assert galaxy("graph", "plan.json", "--format", "dot").code == 0


# ------------------------------------------------------------------------------------------------------------ layout


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str]]]:
    size = draw(st.integers(0, 14))
    sizes = {f"n{n}": (draw(st.integers(40, 200)) * 1.0, draw(st.integers(20, 60)) * 1.0) for n in range(size)}
    edges = [
        (f"n{source}", f"n{target}")
        for target in range(1, size)
        for source in sorted(draw(st.sets(st.integers(0, target - 1), max_size=3)))
    ]
    return sizes, edges


@given(graphs())
def test_boxes_never_overlap_and_lines_go_from_left_to_right(
    graph: tuple[dict[str, tuple[float, float]], list[tuple[str, str]]],
) -> None:
    sizes, edges = graph
    drawing = layout(sizes, edges)
    assert set(drawing.boxes) == set(sizes)
    for one, other in combinations(drawing.boxes.values(), 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        apart = abs(one.y - other.y) >= (one.height + other.height) / 2 + GAP_Y - 1e-6
        assert beside or apart
    for box in drawing.boxes.values():
        assert box.y - box.height / 2 >= -1e-6
        assert box.y + box.height / 2 <= drawing.height + 1e-6
        assert box.x + box.width <= drawing.width + 1e-6
    for source, target in edges:
        way = drawing.ways[source, target]
        assert way[0] == (drawing.boxes[source].x + drawing.boxes[source].width, drawing.boxes[source].y)
        assert way[-1] == (drawing.boxes[target].x, drawing.boxes[target].y)
        assert all(start[0] <= end[0] for start, end in pairwise(way))
        assert not _hits_a_box(way, [box for name, box in drawing.boxes.items() if name not in {source, target}])


def _hits_a_box(way: Sequence[tuple[float, float]], boxes: Sequence[object]) -> bool:
    """Whether a straight part of a line, which passes a layer, goes through a box of that layer."""
    straight = list(pairwise(way))[1::2]
    return any(
        start[0] < box.x + box.width and box.x < end[0] and abs(box.y - start[1]) < box.height / 2  # type: ignore[attr-defined]
        for start, end in straight
        for box in boxes
    )


def test_sweeping_undoes_crossings_that_need_not_be() -> None:
    sizes = dict.fromkeys("abcxyz", (50.0, 20.0))
    drawing = layout(sizes, [("a", "z"), ("b", "y"), ("c", "x")])
    places = drawing.boxes
    assert [places[end].y for end in ("z", "y", "x")] == [places[start].y for start in ("a", "b", "c")]


@given(st.integers(2, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
def test_sweeping_never_makes_it_worse(size: int, pairs: set[tuple[int, int]]) -> None:
    sizes = {f"{side}{number}": (50.0, 20.0) for side in "lr" for number in range(size)}
    kept = [(f"l{start}", f"r{end}") for start, end in sorted(pairs) if start < size and end < size]
    # Each on the right has a prerequisite, so that there are two layers and no more.
    links = [*kept, *((f"l{number}", f"r{number}") for number in range(size))]
    places = layout(sizes, links).boxes

    def crossings(height: Callable[[str], float]) -> int:
        return sum(
            (height(one[0]) - height(other[0])) * (height(one[1]) - height(other[1])) < 0
            for one, other in combinations(dict.fromkeys(links), 2)
        )

    assert crossings(lambda name: places[name].y) <= crossings(lambda name: float(name[1:]))
