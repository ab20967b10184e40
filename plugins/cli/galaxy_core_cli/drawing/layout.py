"""A layered layout, from left to right: where boxes stand, and by which way lines go between them.

After K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of hierarchical system structures", 1981:
layers by longest path, few crossings by sweeping barycenters, then heights. A line that passes a layer gets a place in
it (a bend); lines with the same source share their bends. Heights within a layer are the least-squares solution that
keeps order and gaps, found by pooling adjacent violators.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise

from attrs import define, field, frozen

SWEEPS = 12
GAP_Y = 14.0
GAP_X = 64.0
BEND_HEIGHT = 6.0

Key = Hashable
Point = tuple[float, float]


@frozen
class Placed:
    """A box: its left edge, the middle of its height, its size."""

    x: float
    y: float
    width: float
    height: float


@frozen
class Drawing:
    """`boxes` by node, `ways` by edge: points to pass, in pairs that enter and leave each layer on the way."""

    boxes: Mapping[str, Placed]
    ways: Mapping[tuple[str, str], Sequence[Point]]
    width: float
    height: float


def layout(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]]) -> Drawing:
    """Place boxes of these sizes (width, height), all of a layer as wide as the widest. The edges must form no cycle; `sizes` are in the order of preference."""
    grid = _Grid(sizes, edges)
    grid.reduce_crossings()
    return grid.drawing()


@define
class _Grid:
    """Layers of boxes and bends. A bend is the pair of the source whose lines pass there, and the layer."""

    sizes: Mapping[str, tuple[float, float]]
    edges: Sequence[tuple[str, str]]
    depth: dict[str, int] = field(init=False)
    layers: list[list[Key]] = field(init=False)
    chains: dict[tuple[str, str], list[Key]] = field(init=False)
    before: dict[Key, list[Key]] = field(init=False)
    after: dict[Key, list[Key]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.depth = _depths(self.sizes, self.edges)
        self.layers = [[] for _ in range(max(self.depth.values(), default=-1) + 1)]
        for node, level in self.depth.items():
            self.layers[level].append(node)
        self.chains = {}
        links: dict[tuple[Key, Key], None] = {}
        for source, target in self.edges:
            bends: list[Key] = [(source, level) for level in range(self.depth[source] + 1, self.depth[target])]
            chain: list[Key] = [source, *bends, target]
            self.chains[source, target] = chain
            links.update(dict.fromkeys(pairwise(chain)))
            for level, bend in enumerate(bends, self.depth[source] + 1):
                if (bend, None) not in links:
                    links[bend, None] = None
                    self.layers[level].append(bend)
        self.before = {key: [] for layer in self.layers for key in layer}
        self.after = {key: [] for layer in self.layers for key in layer}
        for start, end in links:
            if end is not None:
                self.after[start].append(end)
                self.before[end].append(start)

    # ------------------------------------------------------------------------------------------- order
    def reduce_crossings(self) -> None:
        best, fewest = [list(layer) for layer in self.layers], self._crossings()
        for sweep in range(SWEEPS):
            if not fewest:
                break
            if sweep % 2 == 0:
                for above, layer in pairwise(self.layers):
                    _sort(layer, above, self.before)
            else:
                for layer, below in pairwise(self.layers[::-1]):
                    _sort(below, layer, self.after)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def _crossings(self) -> int:
        total = 0
        for layer, below in pairwise(self.layers):
            place = {key: index for index, key in enumerate(below)}
            seen: list[int] = []
            for key in layer:
                ends = sorted(place[end] for end in self.after[key])
                total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
                for end in ends:
                    insort(seen, end)
        return total

    # ------------------------------------------------------------------------------------------- places
    def _height(self, key: Key) -> float:
        return self.sizes[key][1] if isinstance(key, str) else BEND_HEIGHT

    def _heights(self) -> dict[Key, float]:
        y: dict[Key, float] = {}
        for layer in self.layers:
            y.update(zip(layer, self._apart(layer, [0.0] * len(layer)), strict=True))
        for sweep in range(SWEEPS):
            forward = sweep % 2 == 0
            for layer in self.layers if forward else self.layers[::-1]:
                wanted = []
                for key in layer:
                    near = (self.before if forward else self.after)[key]
                    wanted.append(sum(y[other] for other in near) / len(near) if near else y[key])
                y.update(zip(layer, self._apart(layer, wanted), strict=True))
        return y

    def _apart(self, layer: Sequence[Key], wanted: Sequence[float]) -> list[float]:
        """The places nearest to `wanted` (in squares) that keep the order and the gaps."""
        offsets = [0.0]
        for upper, lower in pairwise(layer):
            offsets.append(offsets[-1] + (self._height(upper) + self._height(lower)) / 2 + GAP_Y)
        pools: list[list[float]] = []  # each the sum of its values, and how many
        for want, offset in zip(wanted, offsets, strict=False):
            pools.append([want - offset, 1])
            while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
                value, number = pools.pop()
                pools[-1][0] += value
                pools[-1][1] += number
        means = [value / number for value, number in pools for _ in range(int(number))]
        return [mean + offset for mean, offset in zip(means, offsets, strict=False)]

    def drawing(self) -> Drawing:
        y = self._heights()
        top = min((y[key] - self._height(key) / 2 for key in y), default=0.0)
        bottom = max((y[key] + self._height(key) / 2 for key in y), default=0.0)
        lefts, widths, x = [], [], 0.0
        for layer in self.layers:
            width = max((self.sizes[key][0] for key in layer if isinstance(key, str)), default=0.0)
            lefts.append(x)
            widths.append(width)
            x += width + GAP_X
        boxes = {
            node: Placed(lefts[level], y[node] - top, widths[level], self.sizes[node][1])
            for node, level in self.depth.items()
        }
        ways: dict[tuple[str, str], list[Point]] = {}
        for (source, target), chain in self.chains.items():
            box = boxes[source]
            way: list[Point] = [(box.x + box.width, box.y)]
            for level, bend in enumerate(chain[1:-1], self.depth[source] + 1):
                way += [(lefts[level], y[bend] - top), (lefts[level] + widths[level], y[bend] - top)]
            way.append((boxes[target].x, boxes[target].y))
            ways[source, target] = way
        return Drawing(boxes, ways, max(0.0, x - GAP_X), bottom - top)


def _depths(nodes: Mapping[str, object], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The length of the longest path before each node."""
    targets: dict[str, list[str]] = {node: [] for node in nodes}
    waits = dict.fromkeys(nodes, 0)
    for source, target in edges:
        targets[source].append(target)
        waits[target] += 1
    depth = dict.fromkeys(nodes, 0)
    ready = [node for node, count in waits.items() if not count]
    while ready:
        node = ready.pop()
        for target in targets[node]:
            depth[target] = max(depth[target], depth[node] + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    return depth


def _sort(layer: list[Key], fixed: Sequence[Key], neighbours: Mapping[Key, Sequence[Key]]) -> None:
    """By the mean place of what each is connected with; what has no connections keeps its place."""
    place = {key: float(index) for index, key in enumerate(fixed)}
    scale = len(fixed) / max(1, len(layer))
    mean = {}
    for index, key in enumerate(layer):
        near = [place[other] for other in neighbours[key]]
        mean[key] = sum(near) / len(near) if near else index * scale
    layer.sort(key=mean.__getitem__)
