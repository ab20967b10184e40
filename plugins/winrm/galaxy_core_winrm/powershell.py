"""Scripts for PowerShell on the far side. A script's text and its parameters travel as data, on standard input."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

#: Most characters of one script and its parameters, as JSON: what PowerShell 5.1 reads of JSON by default.
LONGEST: Final = 2_000_000


@cache
def script(name: str) -> str:
    """The text of one of our scripts."""
    return (files("galaxy_core_winrm") / "scripts" / f"{name}.ps1").read_text(encoding="utf-8")


@cache
def line(program: str = "powershell.exe") -> str:
    """The line that starts PowerShell with the bootstrap, which reads the rest from standard input."""
    encoded = base64.b64encode(script("bootstrap").encode("utf-16-le")).decode("ascii")
    return f"{program} -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand {encoded}"


def payload(text: str, parameters: Mapping[str, Any]) -> bytes:
    """The first line of standard input.

    Raises:
        ValueError: it is too long, or no JSON.
    """
    document = json.dumps({"script": text, "parameters": dict(parameters)}, ensure_ascii=True, allow_nan=False)
    if len(document) > LONGEST:
        raise ValueError(
            f"the script and its parameters have {len(document)} characters, and PowerShell reads {LONGEST} at most: "
            "push a file, and read it in the script"
        )
    return base64.b64encode(document.encode("ascii")) + b"\n"
