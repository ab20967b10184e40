"""JMESPath that was written as other languages have it: what its author probably meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from galaxy_core.model.explain import likely

_TOKENS: Final = re.compile(
    r"""(?P<literal>`[^`]*`|'[^']*')|(?P<quoted>"[^"]*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<sign>===|!==|==|!=|<=|>=|<>|&&|\|\||[<>=!])|(?P<blank>\s+)|(?P<other>.)""",
    re.DOTALL,
)
_IN: Final = re.compile(r"""['"]([^'"`]*)['"] in ([A-Za-z_][\w.]*)""")
_COMPARES: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_SIGNS: Final = {"=": "==", "===": "==", "!==": "!=", "<>": "!="}
_WORDS: Final = {"and": "&&", "or": "||", "is": "==", "AND": "&&", "OR": "||"}
_CONSTANTS: Final = {"true": "true", "false": "false", "null": "null", "none": "null"}


def other_form(text: str, roots: Collection[str]) -> str | None:
    """The text with its numbers, texts and operators as JMESPath has them, and names that are near a root as that root.

    It may be no JMESPath all the same. None when there is nothing to change.
    """
    part = _IN.sub(r"contains(\2, '\1')", text)
    tokens = [(str(found.lastgroup), found[0]) for found in _TOKENS.finditer(part)]
    written = "".join(_written(tokens, roots))
    return None if written == text else written


def _written(tokens: list[tuple[str, str]], roots: Collection[str]) -> Iterator[str]:
    before = ""  # what stands before it, without blanks
    is_dropped = False
    for index, (kind, word) in enumerate(tokens):
        after = next((text for other, text in tokens[index + 1 :] if other != "blank"), "")
        said = word
        if kind == "blank":
            yield "" if is_dropped else word
            continue
        is_dropped = word == "not"
        compared = before in _COMPARES
        if kind == "sign":
            said = _SIGNS.get(word, word)
        elif kind == "number" and before not in {"[", ":", "."}:
            said = f"`{word}`"
        elif kind == "quoted" and compared and "'" not in word:
            said = f"'{word[1:-1]}'"
        elif kind == "name" and before not in {".", "&"}:
            said = _name(word, before in _COMPARES, after, roots)
        before = said
        yield said


def _name(word: str, compared: bool, after: str, roots: Collection[str]) -> str:
    if word in _WORDS:
        return _WORDS[word]
    if word == "not":
        return "!"
    if after == "(":
        return "length" if word == "len" else word
    if word in roots:
        return word
    if word.lower() in _CONSTANTS:
        return f"`{_CONSTANTS[word.lower()]}`"
    if compared and after != ".":
        return f"'{word}'"
    return likely(word, roots) or word
