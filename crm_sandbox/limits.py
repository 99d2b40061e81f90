"""How often an account may ask: so many requests in a rolling window, and a budget for the day.

The limits are those that the CRMs publish for a small account; `control` changes them, so that what comes after the
last allowed request can be seen without making hundreds before it.
"""

import threading
import time
from collections import deque
from typing import Literal

Refusal = Literal["", "burst", "daily"]


class Limits:
    """`requests` in `seconds`, and `daily`. Both count what is asked, refusals too, as the CRMs do."""

    def __init__(self, requests: int, seconds: float, daily: int) -> None:
        self.requests, self.seconds, self.daily, self.spent = requests, seconds, daily, 0
        self.refused = 0
        self._asked: deque[float] = deque()
        self._lock = threading.Lock()

    @property
    def daily_left(self) -> int:
        return max(0, self.daily - self.spent)

    @property
    def left(self) -> int:
        return max(0, self.requests - len(self._asked))

    def ask(self, cost: int = 1) -> Refusal:
        """Count one request; what stands against it."""
        now = time.monotonic()
        with self._lock:
            while self._asked and self._asked[0] <= now - self.seconds:
                self._asked.popleft()
            over: Refusal = "daily" if not self.daily_left else "burst" if not self.left else ""
            self._asked.append(now)
            self.spent += cost
            self.refused += bool(over)
            return over

    def change(self, given: dict[str, float]) -> dict[str, float]:
        """Set `requests`, `seconds`, `daily` or `spent`; ValueError for another name or a negative number."""
        for name, value in given.items():
            if name not in ("requests", "seconds", "daily", "spent") or not value >= 0:
                raise ValueError("requests, seconds, daily, spent: numbers from 0")
            setattr(self, name, float(value) if name == "seconds" else int(value))
        return {
            "requests": self.requests,
            "seconds": self.seconds,
            "daily": self.daily,
            "spent": self.spent,
            "refused": self.refused,
        }
