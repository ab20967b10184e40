"""The least loaded of some devices, found without looking at each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heapreplace

#: (load, then whatever breaks a tie, then the position of the device in the inventory).
Key = tuple[float, float, int]


class Least:
    """Which of a set of devices has the least key, where a key may only grow.

    There is one heap per set that was asked for. Since keys only grow, an entry that another set has made stale is a
    lower bound of the present key: it is corrected when it comes to the top, and not before. A question costs
    O(log d) for each entry that is corrected, and never more than O(d log d), for d devices in the set.
    """

    def __init__(self, devices: Iterable[str], keys: Iterable[tuple[float, float]]) -> None:
        self._position: Mapping[str, int] = {device: position for position, device in enumerate(devices)}
        self._keys: list[Key] = [(*key, position) for position, key in enumerate(keys)]
        self._heaps: dict[tuple[str, ...], list[Key]] = {}

    def of(self, devices: tuple[str, ...]) -> Key:
        """The least key among `devices`, of which there must be at least one."""
        heap = self._heaps.get(devices)
        keys = self._keys
        if heap is None:
            heap = self._heaps[devices] = [keys[self._position[device]] for device in devices]
            heapify(heap)
        while (current := keys[heap[0][2]]) is not heap[0]:
            heapreplace(heap, current)
        return current

    def raise_to(self, key: Key) -> None:
        """Replace the key of the device at position ``key[2]`` by `key`, which must be greater."""
        self._keys[key[2]] = key
