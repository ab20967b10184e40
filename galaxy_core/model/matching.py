"""Maximum matching of a bipartite graph, and what follows for partial orders.

Neighbours are bits of an integer, so that one step of the search looks at a machine word of them at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def largest_independent_set(after: Sequence[int]) -> list[int]:
    """Indices of a largest set in which none is reached from another, ascending.

    Bit `j` of ``after[i]`` is set when `j` is reached from `i`; that relation must be transitive and free of cycles.
    By R. P. Dilworth's theorem the set is as large as the fewest chains that hold everything, which a maximum matching
    yields; the set itself follows from a smallest vertex cover (D. Kőnig).
    """
    partner, matched = maximum_matching(after)
    # What alternating paths reach from unmatched left vertices; the cover is the left rest and this right part.
    reached_left = [index for index, mate in enumerate(partner) if mate < 0]
    left = 0
    for index in reached_left:
        left |= 1 << index
    right = 0
    for index in reached_left:
        found = after[index] & ~right
        right |= found
        for mate in map(matched.__getitem__, bits(found)):
            if not left >> mate & 1:
                left |= 1 << mate
                reached_left.append(mate)
    return list(bits(left & ~right))


def maximum_matching(neighbours: Sequence[int]) -> tuple[list[int], list[int]]:
    """For each left vertex its right partner, and for each right vertex its left one; -1 where there is none.

    Both sides have ``len(neighbours)`` vertices. J. E. Hopcroft and R. M. Karp, "An n^(5/2) algorithm for maximum
    matchings in bipartite graphs", SIAM Journal on Computing 2, 1973.
    """
    size = len(neighbours)
    partner, matched = [-1] * size, [-1] * size
    while layers := _layers(neighbours, partner, matched):
        for start in range(size):
            if partner[start] < 0:
                _augment(start, neighbours, layers, partner, matched)
    return partner, matched


def _layers(neighbours: Sequence[int], partner: Sequence[int], matched: Sequence[int]) -> list[int]:
    """Right vertices by their distance from unmatched left ones, up to the first unmatched; empty when none is reached."""
    free = 0
    for index, mate in enumerate(matched):
        if mate < 0:
            free |= 1 << index
    front = [index for index, mate in enumerate(partner) if mate < 0]
    seen = 0
    layers: list[int] = []
    while front:
        layer = 0
        for index in front:
            layer |= neighbours[index]
        layer &= ~seen
        if not layer:
            return []
        layers.append(layer)
        if layer & free:
            return layers
        seen |= layer
        front = [matched[index] for index in bits(layer)]
    return []


def _augment(start: int, neighbours: Sequence[int], layers: list[int], partner: list[int], matched: list[int]) -> None:
    """Add one pair by the first shortest alternating path from `start` that is left in `layers`, if there is one."""
    path = [start]
    taken: list[int] = []
    while path:
        depth = len(path) - 1
        choice = neighbours[path[-1]] & layers[depth]
        if not choice:
            path.pop()
            if taken:
                taken.pop()
            continue
        lowest = choice & -choice
        layers[depth] ^= lowest  # each right vertex is tried once per phase
        right = lowest.bit_length() - 1
        taken.append(right)
        if matched[right] < 0:
            for left, mate in zip(path, taken, strict=True):
                partner[left], matched[mate] = mate, left
            return
        if len(path) == len(layers):
            taken.pop()
        else:
            path.append(matched[right])


def bits(mask: int) -> Iterator[int]:
    """Indices of the set bits, ascending, in time linear in the length of `mask`."""
    digits = bin(mask)[:1:-1]
    place = digits.find("1")
    while place >= 0:
        yield place
        place = digits.find("1", place + 1)
