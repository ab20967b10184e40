"""Scripts that the adapter ships, known by what they say."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: The file with canned answers, below the host's folder: digest of a script → what it answers.
CANNED = "canned.json"
_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def digest(script: str) -> str:
    """SHA-256 of a script's text, whichever way its lines end, and without blanks around it."""
    return hashlib.sha256(script.replace("\r\n", "\n").strip().encode("utf-8", "replace")).hexdigest()


def known_scripts() -> dict[str, str]:
    """Digest → name without ".ps1", of each script beside the adapter."""
    try:
        names = [name for name in os.listdir(_SCRIPTS) if name.endswith(".ps1")]
    except FileNotFoundError:
        return {}
    return {digest((_SCRIPTS / name).read_text(encoding="utf-8-sig")): name.removesuffix(".ps1") for name in names}
