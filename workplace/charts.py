"""Stacked bars as SVG: across in percent, to fill any width; upwards in pixels, so that texts keep their size.

All coordinates are texts as SVG writes them, whatever the reader's language.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.charts import axis

TOP, FOOT = 8, 26  # pixels above the highest bar, and below the axis for its labels
GAP = 1.5  # pixels between the parts of a bar


@dataclass(frozen=True)
class Column:
    """What is drawn: `values` from the axis upwards (None: nothing is known), `titles` say each in words."""

    label: str
    values: Sequence[int] | None
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class Part:
    tone: int
    y: str
    height: str
    title: str


@dataclass(frozen=True)
class Bar:
    x: str
    width: str
    centre: str
    label: str
    minor: bool  # its label is left out where there is little room
    parts: list[Part]


@dataclass(frozen=True)
class Line:
    y: str
    label_y: str
    label: str


@dataclass(frozen=True)
class BarChart:
    """`blank`: how much of the width, from the left, is of columns of which nothing is known; `blank_centre`: where it
    is written, if there is room.
    """

    height: int
    foot: str
    bars: list[Bar]
    ticks: list[Line]
    blank: str = ""
    blank_centre: str = ""


def stacked(columns: Sequence[Column], plot: int = 200) -> BarChart:
    """`plot`: pixels from the axis to the highest line."""
    most = max((sum(column.values or ()) for column in columns), default=0)
    scale, ticks = axis(most, TOP + plot, TOP)
    slot = 100 / max(1, len(columns))
    share = 0.62 if len(columns) <= 26 else 0.76
    bars = []
    every = max(1, -(-len(columns) // 13))  # at most thirteen labels
    for n, column in enumerate(columns):
        parts, below = [], 0
        for tone, value in enumerate(column.values or ()):
            if value:
                top = scale(below + value)
                height = max(1.0, scale(below) - top - (GAP if below else 0))
                title = column.titles[tone] if column.titles else ""
                parts.append(Part(tone, f"{top:.1f}", f"{height:.1f}", title))
                below += value
        back = len(columns) - 1 - n  # counted from the newest, which always has its label
        bars.append(
            Bar(
                x=f"{slot * (n + (1 - share) / 2):.3f}%",
                width=f"{slot * share:.3f}%",
                centre=f"{slot * (n + 0.5):.3f}%",
                label="" if back % every else column.label,
                minor=bool(back // every % 2),
                parts=parts,
            )
        )
    unknown = next((n for n, column in enumerate(columns) if column.values is not None), len(columns))
    return BarChart(
        height=TOP + plot + FOOT,
        foot=f"{TOP + plot + 18}",
        bars=bars,
        ticks=[Line(f"{tick.at:.1f}", f"{tick.at + 4:.1f}", tick.label) for tick in ticks],
        blank=f"{slot * unknown:.3f}%" if unknown else "",
        blank_centre=f"{slot * unknown / 2:.3f}%" if slot * unknown > 33 else "",
    )
