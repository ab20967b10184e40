"""The README is short and begins with its two commands; links lead somewhere; decisions have their four parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")])
DECISIONS = sorted(path for path in (ROOT / "docs" / "decisions").glob("*.md") if path.name != "index.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _anchors(text: str) -> set[str]:
    """The anchors that a forge makes of the headings: lower case, punctuation dropped, blanks to hyphens."""
    headings = re.findall(r"^#+\s+(.*)$", text, re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def test_the_readme_is_under_150_lines() -> None:
    assert len(README.splitlines()) < 150


def test_the_first_two_shell_blocks_of_the_readme_are_one_line_each() -> None:
    install_and_run, install_and_test = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[:2]
    assert len(install_and_run.splitlines()) == 1
    assert len(install_and_test.splitlines()) == 1
    assert "galaxy run" in install_and_run
    assert "pytest" in install_and_test


def test_the_commands_of_the_readme_name_files_that_exist() -> None:
    for line in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[:2]:
        for name in re.findall(r"(?<=\s)(?:\./|examples/)[\w./-]+", line):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in _anchors(there.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_a_module_that_a_document_names_exists(path: Path) -> None:
    named = re.findall(
        r"`(?:galaxy_core/)?((?:model|extension|runtime|testing)/\w+\.py)`", path.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / "galaxy_core" / name).is_file()] == []


@pytest.mark.parametrize("path", DECISIONS, ids=_name)
def test_a_decision_says_context_choice_cost_and_what_would_change_our_mind(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Context",
        "Choice",
        "Cost",
        "What would change our mind",
    ]
    assert text.startswith(f"# {int(path.name[:4])}. ")


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    assert [path.name for path in DECISIONS if f"({path.name})" not in index] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=_name)
def test_a_page_can_be_reached_from_the_index_of_its_part(path: Path) -> None:
    if path.name == "index.md":
        target, index = f"{path.parent.name}/index.md", ROOT / "docs" / "index.md"
    else:
        target, index = path.name, path.parent / "index.md"
    if path != ROOT / "docs" / "index.md":
        assert f"({target})" in index.read_text(encoding="utf-8")
