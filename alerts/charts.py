"""Parts of charts that the server draws as SVG: scales, ticks, and room for words.

Coordinates are units of the picture's viewBox. A chart has a table with the same numbers beside it.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from alerts import formats

CHARACTER = 0.56  # mean width of a letter, in parts of the font's size; a little more than that of the usual fonts


@dataclass(frozen=True)
class Scale:
    """From 0 … `most` to `start` … `end`; what lies outside is drawn at the edge. `end` < `start` turns it round."""

    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = min(max(value / self.most, 0), 1) if self.most else 0
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Tick:
    """Where on the axis, and what is written there."""

    at: float
    label: str


def step(most: float, count: int = 4) -> int:
    """1, 2 or 5 times a power of ten, so that at most `count` steps reach `most`."""
    power = 1
    while True:
        for size in (power, 2 * power, 5 * power):
            if size * count >= most:
                return size
        power *= 10


def axis(
    most: float,
    start: float,
    end: float,
    *,
    count: int = 4,
    label: Callable[[int], str] = formats.number,
) -> tuple[Scale, list[Tick]]:
    """A scale that reaches from 0 to the first round number at or above `most`, and its ticks, 0 among them.

    `label` writes a value in the reader's language.
    """
    size = step(max(most, 1), count)
    values = range(0, -int(-max(most, 1) // size) * size + 1, size)
    scale = Scale(values[-1], start, end)
    return scale, [Tick(scale(value), label(value)) for value in values]


def width(text: str, size: float) -> float:
    """About how wide `text` is in a font of `size`; generous, because the reader's font is not known."""
    cells = sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return cells * size * CHARACTER


def shorten(text: str, room: float, size: float) -> str:
    """`text`, cut with an ellipsis where it is wider than `room`."""
    text = " ".join(text.split())
    if width(text, size) <= room:
        return text
    while text and width(text, size) + size > room:
        text = text[: -max(1, len(text) // 8)] if len(text) > 200 else text[:-1]
    return text.rstrip() + "…"
