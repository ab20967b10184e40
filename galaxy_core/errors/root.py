"""The root of the tree, and the words that several of its messages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three of `known` that `name` may have meant, best first; empty when none is near."""
    import difflib  # costs more than this module, and only who errs needs it

    names = list(known)
    if len(names) > 5000:  # difflib compares with every name: at that size it would cost seconds
        names = [candidate for candidate in names if candidate[:1] == name[:1]][:5000]
    return tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.6))


def either(names: Sequence[str]) -> str:
    """`'a' or 'b'`."""
    return " or ".join(repr(name) for name in names)


def hint(near: Sequence[str]) -> str:
    """`; did you mean 'a' or 'b'?`, or nothing."""
    return f"; did you mean {either(near)}?" if near else ""


def listed(names: Iterable[str], none: str, most: int = 20, show: Callable[[str], str] = repr) -> str:
    """The first `most` of the names in their order, and how many more there are; `none` when there are none."""
    found = sorted(names)
    if not found:
        return none
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(show, found[:most])) + more


class GalaxyError(Exception):
    """The root of everything that Galaxy raises."""
