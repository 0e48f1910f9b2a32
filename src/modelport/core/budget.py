"""A token bucket for bytes of output: what a noisy model may log."""

from __future__ import annotations

import time


class OutputBudget:
    """``burst`` bytes at once, ``rate`` bytes a second after that; counts what it refuses."""

    def __init__(self, burst: int = 256 << 10, rate: int = 64 << 10) -> None:
        self.burst = burst
        self.rate = rate
        self.dropped = 0
        self._left = float(burst)
        self._at = time.monotonic()

    def take(self, size: int) -> bool:
        """Whether ``size`` more bytes may pass now."""
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        if size > self._left:
            self.dropped += size
            return False
        self._left -= size
        return True

    def notice(self) -> str:
        """ "... bytes dropped" once since the last time, or an empty string."""
        if not self.dropped:
            return ""
        dropped, self.dropped = self.dropped, 0
        return f"dropped {dropped} bytes of output"
