"""Who decides and how long ago there was an exchange with them: level by days, drawn as SVG by the template.

Every person has a lane of their own in the row of their level where names would touch, so that no two overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from alerts import formats
from alerts.charts import Tick, axis, shorten, width
from alerts.wording import Days, level
from deals.seniority import Level

WIDTH, LEFT, RIGHT, NEVER = 460, 68, 326, 372  # the picture; the axis from LEFT to RIGHT; where "never" is
EDGE = RIGHT + 20  # where the last name ends
TOP, LANE, FONT, GAP = 8, 19, 11, 9  # GAP: from a point to its name
LONGEST = WIDTH - NEVER - GAP  # the name of somebody never met
LONGEST_MET = (EDGE - LEFT) / 2 - GAP  # a name that fits on one side of any point of the axis
MOST_DAYS = 400
MOST_LANES = 8  # people above each other in one row; the others are counted
LEVELS = (Level.C_LEVEL.value, Level.VP.value, Level.DIRECTOR.value, 0, None)


@dataclass(frozen=True)
class Somebody:
    """`level` is None without a job title, `last_on` when there has been no exchange."""

    name: str
    level: int | None
    last_on: date | None


@dataclass(frozen=True)
class Point:
    """`tone`: "reached" (of the watched level, engaged), "missing" (of it, never engaged), "engaged" or "never"."""

    x: float
    y: float
    name: str
    name_x: float
    anchor: str
    tone: str
    told: str


@dataclass(frozen=True)
class Row:
    """`label_y`: of the level's name; `hidden`: people for whom there is no room, as "+3"."""

    label: str
    top: float
    height: float
    watched: bool
    hidden: str
    points: list[Point]

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def label_y(self) -> float:
        return self.top + LANE / 2 + 9

    @property
    def hidden_y(self) -> float:
        return self.label_y + LANE


@dataclass(frozen=True)
class PowerMap:
    """`limit_x`: where the limit of `no_activity` is, None when it is off. `spoken`: the picture in a sentence."""

    rows: list[Row]
    ticks: list[Tick]
    bottom: float
    limit_x: float | None
    limit: str
    watched: str
    spoken: str

    width, left, never, top = WIDTH, LEFT, NEVER, TOP
    zone_width = EDGE - LEFT

    @property
    def height(self) -> float:
        return self.bottom + 20


def power_map(people: Sequence[Somebody], watched: int | None, limit: int | None, days: Days) -> PowerMap:
    """`watched`: the level that `power_map` expects; `limit`: the days of `no_activity`; None: the rule is off."""
    today = days.today
    most = max([*(days.since(each.last_on) for each in people if each.last_on), 30, (limit or 0) * 1.5])

    def written(value: int) -> str:
        beyond = value == MOST_DAYS < most
        return formats.number(value) + "+" * beyond if value else _("today")

    scale, ticks = axis(min(most, MOST_DAYS), LEFT + 8, RIGHT, count=3, label=written)
    top: float = TOP
    rows = []
    for value in LEVELS:
        of_level = [each for each in people if each.level == value]
        is_watched = watched is not None and (value or 0) >= watched
        lanes: list[float] = []
        points, hidden = [], 0
        placed = [(NEVER if each.last_on is None else scale(days.since(each.last_on)), each) for each in of_level]
        for x, each in sorted(placed, key=lambda pair: (pair[0], pair[1].name)):
            name = shorten(each.name, LONGEST if each.last_on is None else LONGEST_MET, FONT)
            wide = width(name, FONT)
            left_of_point = each.last_on is not None and x + GAP + wide > EDGE
            begin, end = (x - GAP - wide, x + 6) if left_of_point else (x - 6, x + GAP + wide)
            lane = next((n for n, taken in enumerate(lanes) if taken + 4 <= begin), len(lanes))
            if lane >= MOST_LANES:
                hidden += 1
                continue
            lanes[lane : lane + 1] = [end]
            tone = ("reached" if each.last_on else "missing") if is_watched else "engaged" if each.last_on else "never"
            last = formats.days_apart(each.last_on, today) if each.last_on else _("never")
            told = _("%(name)s: last exchange %(ago)s") % {"name": each.name[:200], "ago": last}
            y = top + LANE / 2 + lane * LANE + 5
            name_x = x - GAP if left_of_point else x + GAP
            points.append(Point(x, y, name, name_x, "end" if left_of_point else "start", tone, told))
        height = max(1, len(lanes)) * LANE + 10
        label = pgettext("level of a job title", "unknown") if value is None else level(value)
        more = f"+{formats.number(hidden)}" if hidden else ""
        rows.append(Row(label[:1].upper() + label[1:], top, height, is_watched, more, points))
        top += height
    senior = [each for each in people if watched is not None and (each.level or 0) >= watched]
    return PowerMap(
        rows=rows,
        ticks=ticks,
        bottom=top,
        limit_x=scale(limit) if limit else None,
        limit=days.said(limit) if limit else "",
        watched=level(watched) if watched is not None else "",
        spoken=_spoken(people, senior, watched),
    )


def _spoken(people: Sequence[Somebody], senior: Sequence[Somebody], watched: int | None) -> str:
    count = ngettext("%(count)s person", "%(count)s people", len(people)) % {"count": formats.number(len(people))}
    if watched is None:
        return _("Power map: %(people)s by level and days since the last exchange.") % {"people": count}
    return _(
        "Power map: %(people)s, of whom %(senior)s at the level %(level)s or above, %(engaged)s of them engaged."
    ) % {
        "people": count,
        "senior": formats.number(len(senior)),
        "level": level(watched),
        "engaged": formats.number(sum(1 for each in senior if each.last_on)),
    }
