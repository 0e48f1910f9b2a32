"""A token bucket for bytes of output: what a noisy model may log."""

from __future__ import annotations

import time


class OutputBudget:
    """``burst`` bytes at once, ``rate`` bytes a second after that; counts what it refuses.

    A line costs ``LINE`` bytes beside its text: a log of empty lines is no cheaper to write than one of long lines.
    """

    LINE = 128

    def __init__(self, burst: int = 256 << 10, rate: int = 64 << 10) -> None:
        self.burst = burst
        self.rate = rate
        self.dropped = 0
        self._left = float(burst)
        self._at = time.monotonic()

    def take(self, size: int, lines: int = 1) -> bool:
        """Whether ``size`` more bytes in so many lines may pass now."""
        cost = size + lines * self.LINE
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        if cost > self._left:
            self.dropped += size
            return False
        self._left -= cost
        return True

    def notice(self) -> str:
        """ "... bytes dropped" once since the last time, or an empty string."""
        if not self.dropped:
            return ""
        dropped, self.dropped = self.dropped, 0
        return f"dropped {dropped} bytes of output"
