"""A phone's log."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import anyio

_KEPT: Final = 10_000


class Log:
    """The newest lines, as `logcat -v threadtime` prints them; `count` is how many there ever were."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0
        self._more = anyio.Event()

    def add(self, tag: str, text: str, priority: str = "I") -> None:
        """One more line, of now."""
        now = datetime.now().astimezone()
        self.lines.append(f"{now:%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}  1000  1000 {priority} {tag}: {text}")
        del self.lines[:-_KEPT]
        self.count += 1
        self._more.set()

    def since(self, count: int) -> list[str]:
        """The lines after the first `count`, as far as they are kept."""
        new = self.count - count
        return self.lines[-new:] if new > 0 else []

    async def more_than(self, count: int) -> None:
        """Wait until there were more than `count`."""
        while self.count <= count:
            self._more = anyio.Event()
            await self._more.wait()

    def clear(self) -> None:
        """Forget them."""
        self.lines.clear()
