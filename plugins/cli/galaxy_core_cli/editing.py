"""`galaxy edit`: transactions from files to runs of other processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from galaxy_core import document_lines, transaction_from_json
from galaxy_core.errors import DocumentError
from galaxy_core_cli import say
from galaxy_core_cli.exits import Exit
from galaxy_core_cli.reaching import RefusedError, author, print_json, request
from galaxy_core_cli.streams import is_terminal
from galaxy_core_cli.text import safe, safe_line

#: Characters of a transaction that are read. Its run takes 10 MiB in all.
MOST = 10_000_000


@frozen
class Look:
    """How a preview is shown."""

    as_json: bool = False
    mermaid: bool = False


def read(path: str, *, as_json: bool = False) -> tuple[str, str]:
    """The text of a transaction that can be one, and what its file is called in messages. What is wrong with it is told
    as JSON, too, if that is asked for.

    Raises:
        DocumentError: it is none, with the places in the file.
        OSError: it cannot be read.
    """
    if not path:
        raise say.WrongValueError("FILE is an empty text: name a file, or - for standard input")
    name = "<standard input>" if path == "-" else path
    try:
        text = sys.stdin.read(MOST + 1) if path == "-" else _text(path)
        if len(text) > MOST:
            raise DocumentError(name, [("", None, f"is no transaction: it has more than {MOST:,} characters")])
        transaction_from_json(text, name)
    except DocumentError as error:
        if as_json:
            problems = [{"path": place, "line": line, "reason": reason} for place, line, reason in error.problems]
            print_json({"ok": False, "code": "unreadable", "error": str(error), "problems": problems})
        raise
    return text, name


def _text(path: str) -> str:
    """What a file holds, up to one character more than is read."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            return file.read(MOST + 1)
    except UnicodeDecodeError:
        raise DocumentError(path, [("", None, "is not UTF-8; save the file as UTF-8, or name another one")]) from None


def show(run: str, text: str, name: str, look: Look) -> int:
    """Show what a transaction would do; `name` is what its file is called."""
    try:
        return Exit.OK if _shown(run, text, name, look)["is_sound"] else Exit.NOT_ALL
    except RefusedError as refused:
        return _tell(refused, look.as_json, name)


def propose(run: str, text: str, name: str, look: Look, *, may_ask: bool) -> int:
    """Show what a transaction would do, and do it if somebody says so. That nobody can be asked is a mistake."""
    try:
        preview = _shown(run, text, name, look)
    except RefusedError as refused:
        return _tell(refused, look.as_json, name)
    if not preview["is_sound"]:
        return Exit.NOT_ALL
    if not (may_ask and is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        say.note("nothing was changed: --apply does it, and --preview only shows it")
        return Exit.REFUSED
    if not _changes(preview):
        say.note("there is nothing to change")
        return Exit.OK
    try:
        is_wanted = click.confirm("Change the plan?", err=True)
    except click.Abort:
        say.note("\nnothing was changed")
        raise
    if not is_wanted:
        say.note("nothing was changed")
        return Exit.OK
    return apply(run, text, name, False, preview["revision"])


def _shown(run: str, text: str, name: str, look: Look) -> Mapping[str, Any]:
    """The preview, which was shown; with all that is wrong, where there is something."""
    answer = request(run, {"do": "preview", "transaction": text, "mermaid": look.mermaid})
    preview: Mapping[str, Any] = answer["preview"]
    if look.as_json:
        print_json({**preview, **({"mermaid": answer["mermaid"]} if look.mermaid else {})})
    else:
        click.echo(safe(answer["mermaid" if look.mermaid else "text"]))
        if preview["problems"]:
            say.errors("the edit would be refused:", _reasons(preview["problems"], name))
    return preview


def _changes(preview: Mapping[str, Any]) -> bool:
    return any(preview[of][how] for of in ("tasks", "links") for how in ("added", "removed", "changed"))


def apply(run: str, text: str, name: str, as_json: bool, revision: int | None = None) -> int:
    """Commit a transaction; if it has no base of its own, as of `revision`, which somebody has seen."""
    document: dict[str, Any] = {"do": "edit", "transaction": text, "author": author("galaxy edit")}
    if revision is not None:
        document["revision"] = revision
    return _committed(run, document, as_json, name)


def undo(run: str, edit_id: str, as_json: bool) -> int:
    """Take an edit back."""
    return _committed(run, {"do": "undo", "edit": edit_id}, as_json, None)


def _committed(run: str, document: Mapping[str, Any], as_json: bool, name: str | None) -> int:
    try:
        answer = request(run, document)
    except RefusedError as refused:
        return _tell(refused, as_json, name)
    if as_json:
        print_json(answer)
    elif not answer.get("changed", True):
        click.echo(f"nothing to change: {safe_line(answer['description'])}")
    else:
        what = safe_line(answer["description"])
        click.echo(f"undone: {what.removeprefix('Undo: ')}" if document["do"] == "undo" else f"done: {what}")
        click.echo(
            f"revision {answer['revision']}; to take it back: galaxy edit {safe_line(run)} --undo {safe_line(answer['edit'])}"
        )
    return Exit.OK


def _tell(refused: RefusedError, as_json: bool, name: str | None) -> int:
    """Every reason, one a line."""
    answer = refused.answer
    if as_json:
        print_json(answer)
    reasons = _reasons(answer.get("problems") or [], name)
    if reasons and answer.get("code") in {"refused", "conflict"}:
        moved = ", because it does not fit any more" if answer["code"] == "conflict" else ""
        say.errors(f"the edit was refused{moved}; nothing was changed:", reasons)
    else:
        say.error(str(refused))
    return refused.code


def _reasons(problems: Sequence[Mapping[str, Any]], name: str | None) -> list[str]:
    """Each as `file:line: operations[0]: why`, as far as that is known; of an undo there is no file."""
    found = [problem.get("operation") for problem in problems]
    places = [("operations", place) for place in found if isinstance(place, int)]
    # A pipe has been read already: it has nothing more to say, and may keep whoever asks waiting.
    lines = document_lines(name, places) if name is not None and places and Path(name).is_file() else {}
    return [_reason(problem, place, name, lines) for problem, place in zip(problems, found, strict=True)]


def _reason(
    problem: Mapping[str, Any], place: object, name: str | None, lines: Mapping[tuple[str | int, ...], int]
) -> str:
    reason = safe_line(problem.get("reason"))
    if isinstance(place, int) and name is not None:
        line = lines.get(("operations", place))
        return f"{safe_line(name if line is None else f'{name}:{line}')}: operations[{place}]: {reason}"
    path = problem.get("path")
    return f"{safe_line(path)}: {reason}" if path else reason
