"""The least loaded of some devices, found without looking at each of them."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heapreplace

#: (load, then whatever breaks a tie, then the position of the device in the inventory).
Key = tuple[float, float, int]
#: Of a set of devices, a key each; some may be of the past.
Heap = list[Key]


class Least:
    """Which of a set of devices has the least key, where a key may only grow.

    There is one heap per set that was asked for. Since keys only grow, an entry that another set has made stale is a
    lower bound of the present key: it is corrected when it comes to the top, and not before. A question costs
    O(log d) for each entry that is corrected, and never more than O(d log d), for d devices in the set.
    """

    def __init__(self, devices: Iterable[str], keys: Iterable[tuple[float, float]]) -> None:
        self._position = {device: position for position, device in enumerate(devices)}
        self.keys: list[Key] = [(*key, position) for position, key in enumerate(keys)]
        self._heaps: dict[tuple[str, ...], Heap] = {}

    def of(self, devices: tuple[str, ...]) -> Key:
        """The least key among `devices`, of which there must be at least one."""
        return self.top(self.heap(devices))

    def heap(self, devices: tuple[str, ...]) -> Heap:
        """What `top` needs to answer for `devices`: spares those who ask often the search for it."""
        heap = self._heaps.get(devices)
        if heap is None:
            heap = self._heaps[devices] = [self.keys[self._position[device]] for device in devices]
            heapify(heap)
        return heap

    def top(self, heap: Heap) -> Key:
        """The least key among the devices of `heap`."""
        keys = self.keys
        while (current := keys[heap[0][2]]) is not heap[0]:
            heapreplace(heap, current)
        return current

    def raise_to(self, key: Key) -> None:
        """Replace the key of the device at position ``key[2]`` by `key`, which must be greater."""
        self.keys[key[2]] = key
