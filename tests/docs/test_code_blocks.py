"""Every python block of the documents is run.

The python blocks of one document run in their order, as one program, in an empty folder. Before a block, on the line
above its fence, may stand

* `<!-- file: NAME -->`: the block, of whatever language, is written to that file before the program starts;
* `<!-- not executed: REASON -->`: the python block must compile, but does not run;
* `<!-- executed -->`: the sh block, which otherwise would not, is run after the program, with `galaxy` on its path.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")])
TIMEOUT_S = 120
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
MARK = re.compile(r"^\s*<!-- (?P<kind>file|not executed|executed)(?:: (?P<value>.+?))? -->\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of content, counted from 1."""

    language: str
    line: int
    text: str
    file: str | None = None
    not_executed: str | None = None
    executed: bool = False


def blocks(document: str) -> list[Block]:
    found = []
    lines = document.splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening is None:
            number += 1
            continue
        end = next(
            (later for later in range(number + 1, len(lines)) if lines[later].strip() == opening["ticks"]), len(lines)
        )
        mark = MARK.match(lines[number - 1]) if number else None
        found.append(
            Block(
                language=opening["language"],
                line=number + 2,
                text=textwrap.dedent("\n".join(lines[number + 1 : end]) + "\n"),
                file=mark["value"] if mark and mark["kind"] == "file" else None,
                not_executed=mark["value"] if mark and mark["kind"] == "not executed" else None,
                executed=mark is not None and mark["kind"] == "executed",
            )
        )
        number = end + 1
    return found


def program(found: list[Block]) -> str:
    """The python blocks that run, each at the line which it has in the document, so that tracebacks point into it."""
    source = ""
    for block in found:
        if block.language == "python" and block.file is None and block.not_executed is None:
            source += "\n" * (block.line - 1 - source.count("\n")) + block.text
    return source


def run(document: str, name: str, folder: Path) -> str:
    """What the program of a document and then its shell blocks print; one that ends in an error fails the test."""
    found = blocks(document)
    for block in found:
        if block.language == "python":
            compile(block.text, f"{name}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if block.file is not None:
            target = folder / block.file
            assert target.resolve().is_relative_to(folder.resolve()), f"{name}:{block.line}: {block.file} is elsewhere"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
    printed = ""
    if source := program(found):
        script = folder / f"{Path(name).stem}.md.py"
        script.write_text(source, encoding="utf-8")
        printed += _output([sys.executable, "-W", "error", script.name], folder, f"{name}, whose lines it has")
    for block in found:
        if block.language == "sh" and block.executed:
            printed += _output(["sh", "-eu", "-c", block.text], folder, f"{name}:{block.line}")
    return printed


def _output(command: list[str], folder: Path, where: str) -> str:
    environment = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{where}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_of_a_document_runs(path: Path, tmp_path: Path) -> None:
    run(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix(), tmp_path)


EXAMPLE = """\
# Title
<!-- file: sub/data.txt -->
```yaml
hello
```
```python
from pathlib import Path
word = Path("sub/data.txt").read_text().strip()
```
<!-- not executed: it needs a phone -->
```python
await phone.ring()
```
- in a list
  ```python
  print(word)
  ```
```sh
exit 1
```
<!-- executed -->
```sh
cat sub/data.txt
```
"""


def test_the_blocks_of_a_document_are_one_program_beside_its_files(tmp_path: Path) -> None:
    assert run(EXAMPLE, "example.md", tmp_path) == "hello\n" + "hello\n"


def test_a_shell_block_that_is_executed_may_not_fail(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"example\.md:3: exit code 1"):
        run("<!-- executed -->\n```sh\nfalse\n```\n", "example.md", tmp_path)


def test_the_program_has_the_lines_of_the_document() -> None:
    written = program(blocks(EXAMPLE)).splitlines()
    document = EXAMPLE.splitlines()
    placed = {number: line for number, line in enumerate(written) if line}
    assert len(placed) == 3
    assert placed == {number: document[number].strip() for number in placed}


def test_a_block_that_raises_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r'File ".*example\.md\.py", line 3'):
        run("text\n```python\n1 / 0\n```\n", "example.md", tmp_path)


def test_a_block_that_is_not_executed_must_still_compile(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError):
        run("<!-- not executed: why -->\n```python\nthis is no python\n```\n", "example.md", tmp_path)


def test_a_block_that_warns_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="DeprecationWarning"):
        run("```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```\n", "example.md", tmp_path)
