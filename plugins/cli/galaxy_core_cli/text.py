"""Text for terminals and logs: what came from elsewhere made harmless, and figures made readable."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galaxy_core import ExecutionResult, TaskStar

# Colours and the like. A task may well print them, and shown as text they only hide what it says.
_STYLING = re.compile(r"\x1b\[[0-9;:]*m")
# Control characters (C0, DEL, C1); what reorders or hides text (bidirectional controls, marks without width); the two
# separators that break lines; halves of surrogate pairs, which cannot be written.
_UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
_UNSAFE_TEXT = re.compile(f"[{_UNSAFE}]")
_NO_LETTERS = re.compile(r"[\W_]+")
_UNSAFE_LINE = re.compile(f"[\t\n{_UNSAFE}]")

#: What a person is shown at most of one line, and of all lines together, that a task printed.
LINE_CHARACTERS = 300
TAIL_CHARACTERS = 4000


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def safe(text: object) -> str:
    """`text` without anything that a terminal would act on, but tabs and newlines. Colours are dropped, the rest escaped."""
    plain = _STYLING.sub("", str(text)).replace("\r\n", "\n")
    return _UNSAFE_TEXT.sub(_escaped, plain)


def safe_line(text: object) -> str:
    """`text` as one line: as `safe`, and newlines and tabs escaped, too."""
    return _UNSAFE_LINE.sub(_escaped, _STYLING.sub("", str(text)))


def tail(text: str, lines: int) -> tuple[list[str], int]:
    """The last `lines` lines that are not empty at the end, made safe, and how many came before them.

    Fewer than `lines` when they have more than `TAIL_CHARACTERS` in all; of a line with more than `LINE_CHARACTERS`, the
    beginning and how much follows.
    """
    found = text.rstrip().replace("\r\n", "\n").split("\n") if text.strip() else []
    shown: list[str] = []
    room = TAIL_CHARACTERS
    for line in reversed(found[-lines:]):
        more = len(line) - LINE_CHARACTERS
        cut = safe(line) if more <= 0 else f"{safe(line[:LINE_CHARACTERS])}… ({count(more, 'more character')})"
        room -= len(cut)
        if shown and room < 0:
            break
        shown.append(cut)
    return shown[::-1], len(found) - len(shown)


def found_out(result: ExecutionResult | None) -> bool:
    """Whether it was found out later that an attempt had ended: then it took as long as is told at most."""
    return result is not None and any(result.metadata.get(key) for key in ("settled", "ended_unseen"))


def duration(seconds: float) -> str:
    """``24ms``, ``0.4s``, ``12s``, ``3:07``, ``2:03:07``."""
    if seconds < 0.0995:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"


def count(number: int, noun: str) -> str:
    """``1 task``, ``1,200 tasks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, width: int) -> str:
    """`text` with at most `width` characters."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def what(task: TaskStar, width: int = 60) -> str:
    """What a task does, in its own words or as a command, in one line that is safe to show."""
    from galaxy_core import Action, Command, Reference

    def word(value: object) -> str:
        return f"<{value.task_id}.{value.value}>" if isinstance(value, Reference) else shlex.quote(str(value))

    request = task.request
    if task.description:
        text = task.description
    elif isinstance(request, Command) and request.argv is not None:
        text = " ".join(word(part) if "\n" not in str(part) else "…" for part in request.argv)
    elif isinstance(request, Command):
        first, *more = (request.shell or "").strip().split("\n")
        text = f"$ {first}{' …' if more else ''}"
    elif isinstance(request, Action):
        text = " ".join([request.name, *(f"{name}={word(value)}" for name, value in request.arguments.items())])
    else:
        text = ""
    return shortened(safe_line(text), width)


def label(task: TaskStar, width: int = 60) -> str:
    """``id``, or ``id (name)`` if the name says more, in one line that is safe to show; `width` is of the name."""
    name = own_name(task)
    if name is None or _letters(name) == _letters(task.task_id):
        return safe_line(task.task_id)
    return f"{safe_line(task.task_id)} ({shortened(safe_line(name), width)})"


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text).casefold()


def own_name(task: TaskStar) -> str | None:
    """The name that somebody gave it; None when there is none, or it is the id."""
    task_id, name = task.task_id, task.name  # where there is none, the kernel makes one of the id
    return None if name in {task_id, f"task_{task_id[:8]}"} else name


def room() -> int | None:
    """The width of the terminal that standard output is; None of a file or a pipe, in which lines may be as long as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitted(
    rows: Sequence[Sequence[str]], heading: Sequence[str], width: int | None, *least: tuple[int, int]
) -> Sequence[Sequence[str]]:
    """Rows of a table that fits `width`, as far as may be: cells are shortened, of one column after the other.

    `least` are the columns, by number, each with the characters that it keeps.
    """
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    over = 0 if width is None else sum(widths) + 2 * (len(widths) - 1) - width
    for column, characters in least:
        if over > 0 and widths[column] > characters:
            most = max(characters, len(heading[column]), widths[column] - over)
            over -= widths[column] - most
            rows = [[*row[:column], shortened(row[column], most), *row[column + 1 :]] for row in rows]
    return rows


def table(rows: Sequence[Sequence[str]], heading: Sequence[str] = (), indent: str = "") -> Iterator[str]:
    """Columns side by side, as wide as what stands in them; the last one ends where it ends."""
    everything = [heading, *rows] if heading else list(rows)
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)] if everything else []
    for row in everything:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        yield f"{indent}{'  '.join([*cells, row[-1]])}".rstrip()
