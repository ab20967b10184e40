"""Output of which only the beginning was kept, as its transport tells it."""

from __future__ import annotations

from galaxy_core import ExecutionResult
from galaxy_core_cli.kept.reading import Beginning
from galaxy_core_cli.text import safe_line


def is_cut(result: ExecutionResult, stream: str) -> bool:
    """Whether there was more of a stream. A transport may not tell of which: then it may be of either."""
    text, told = getattr(result, stream), result.metadata
    if text is None or isinstance(text, Beginning) or not told.get("truncated"):
        return False
    other = "stderr" if stream == "stdout" else "stdout"
    return f"{stream}_kept_bytes" in told or f"{other}_kept_bytes" not in told


def how_cut(result: ExecutionResult, stream: str) -> str:
    """What there is of a stream that was cut, and where there is more."""
    told = result.metadata
    kept, size, in_file = (told.get(f"{stream}_{what}") for what in ("kept_bytes", "bytes", "file_bytes"))
    there = f"{len(getattr(result, stream)):,} characters" if kept is None else f"{kept:,} bytes"
    of = "" if size is None else f" of {size:,}"
    file = (result.files or {}).get(f"{stream}.txt")
    if file is not None and size is not None and in_file is not None and in_file >= size:
        rest = f"all of it: {safe_line(file)}"
    elif file is not None and in_file is not None:
        rest = f"its first {in_file:,}: {safe_line(file)}"
    elif f"{stream}_file_error" in told:
        rest = f"the rest is lost, because no file could be written: {safe_line(told[f'{stream}_file_error'])}"
    else:
        rest = "the rest went with the process that read it" if told.get("settled") else "the rest is lost"
    return f"{stream} is cut: its first {there}{of}; {rest}"
