"""The picture of people by level and days since the last exchange, and the bars of the stage history."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import translation

from alerts.charts import Scale, axis, shorten, step, width
from alerts.power_map import FONT, LEVELS, MOST_LANES, NEVER, RIGHT, WIDTH, Point, PowerMap, Somebody, power_map
from alerts.wording import Days

TODAY = date(2026, 11, 22)


def someone(name: str, level: int | None = 0, days: int | None = None) -> Somebody:
    return Somebody(name, level, None if days is None else TODAY - timedelta(days=days))


def drawn(*people: Somebody, watched: int | None = 1, limit: int | None = 10) -> PowerMap:
    return power_map(people, watched, limit, Days(TODAY))


def points(found: PowerMap) -> list[Point]:
    return [point for row in found.rows for point in row.points]


def box(point: Point) -> tuple[float, float]:
    """From where to where the point and its name reach."""
    wide = width(point.name, FONT)
    return (point.name_x - wide, point.x + 6) if point.anchor == "end" else (point.x - 6, point.name_x + wide)


CROWDS: dict[str, list[Somebody]] = {
    "nobody": [],
    "one": [someone("Ana Ruiz", 3, 2)],
    "forty on one day": [someone(f"Somebody Number {n}", 0, 7) for n in range(40)],
    "forty never": [someone(f"Somebody Number {n}", None) for n in range(40)],
    "forty everywhere": [someone(f"P. {n}" * (n % 4 + 1), LEVELS[n % 5], n * 3 if n % 3 else None) for n in range(40)],
    "hostile names": [
        someone("x" * 5000, 2, 1),
        someone("مرحبا بالعالم", 2, 1),
        someone("🎈" * 40, 2, 1),
        someone("<b>Ana</b>", 2, 1),
        someone("", 2, 1),
        someone("董事长李小明先生和他的同事们", 2),
    ],
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_no_two_names_overlap_and_none_leaves_the_picture(crowd: str) -> None:
    found = drawn(*CROWDS[crowd])
    for row in found.rows:
        for n, one in enumerate(row.points):
            begin, end = box(one)
            assert 0 <= begin < end <= WIDTH
            assert row.top <= one.y <= row.top + row.height
            for other in row.points[n + 1 :]:
                apart = box(other)[0] >= end or box(other)[1] <= begin
                assert apart or abs(other.y - one.y) >= FONT


@pytest.mark.parametrize("crowd", CROWDS)
def test_everybody_is_drawn_or_counted(crowd: str) -> None:
    found = drawn(*CROWDS[crowd])
    hidden = sum(int(row.hidden or 0) for row in found.rows)
    assert len(points(found)) + hidden == len(CROWDS[crowd])
    assert found.height < 120 + len(LEVELS) * MOST_LANES * 19


def test_rows_are_levels_and_those_watched_are_marked() -> None:
    found = drawn(someone("Ana", 3, 1), someone("Ben", 1, 2), someone("Cleo", 0, 3), someone("Dan", None), watched=2)
    assert [(row.label, row.watched) for row in found.rows] == [
        ("C-level", True),
        ("VP", True),
        ("Director", False),
        ("None", False),
        ("Unknown", False),
    ]
    assert [[point.name for point in row.points] for row in found.rows] == [["Ana"], [], ["Ben"], ["Cleo"], ["Dan"]]


def test_tones_say_whether_the_decision_is_within_reach() -> None:
    found = drawn(someone("Ana", 3, 1), someone("Ben", 2), someone("Cleo", 0, 3), someone("Dan", 0))
    assert {point.name: point.tone for point in points(found)} == {
        "Ana": "reached",
        "Ben": "missing",
        "Cleo": "engaged",
        "Dan": "never",
    }


def test_further_left_is_more_recent_and_never_is_at_the_right() -> None:
    found = drawn(someone("Old", 0, 60), someone("New", 0, 0), someone("Never", 0))
    x = {point.name: point.x for point in points(found)}
    assert x["New"] < x["Old"] <= RIGHT < x["Never"] == NEVER


def test_the_limit_of_no_activity_is_drawn_on_the_axis() -> None:
    found = drawn(someone("Ana", 0, 10), limit=10)
    [point] = points(found)
    assert found.limit_x == point.x
    assert found.limit.replace("\u00a0", " ") == "10 days"


def test_rules_that_are_off_draw_neither_level_nor_limit() -> None:
    found = drawn(someone("Ana", 3, 1), watched=None, limit=None)
    assert (found.limit_x, found.limit, found.watched) == (None, "", "")
    assert not any(row.watched for row in found.rows)
    assert points(found)[0].tone == "engaged"


def test_who_was_met_years_ago_is_at_the_edge_which_says_so() -> None:
    found = drawn(someone("Ana", 0, 4000))
    assert points(found)[0].x == RIGHT
    assert found.ticks[-1].label == "400+"


def test_the_picture_is_told_in_a_sentence() -> None:
    people = [someone("Ana", 3, 1), someone("Ben", 2), someone("Cleo", 0, 3)]
    told = "Power map: 3 people, of whom 2 at the level Director or above, 1 of them engaged."
    assert drawn(*people).spoken == told
    with translation.override("fr"):
        found = drawn(*people)
        assert "3 personnes, dont 2 au niveau Directeur ou au-dessus" in found.spoken
        assert found.ticks[0].label == "aujourd’hui"
        assert found.rows[-1].label == "Inconnu"


@pytest.mark.parametrize(
    ("most", "labels"), [(0, "0 1"), (7, "0 2 4 6 8"), (30, "0 10 20 30"), (365, "0 100 200 300 400")]
)
def test_an_axis_ends_at_a_round_number(most: float, labels: str) -> None:
    scale, ticks = axis(most, 10, 110, label=str)
    assert " ".join(tick.label for tick in ticks) == labels
    assert (ticks[0].at, ticks[-1].at) == (10, 110)
    assert scale(most) <= 110


def test_a_scale_draws_what_lies_outside_at_the_edge_and_may_go_backwards() -> None:
    assert [Scale(10, 0, 100)(n) for n in (-5, 0, 5, 10, 50)] == [0, 0, 50, 100, 100]
    assert [Scale(10, 100, 0)(n) for n in (0, 5, 10)] == [100, 50, 0]
    assert Scale(0, 3, 9)(1) == 3


@pytest.mark.parametrize("text", ["Ana Ruiz", "x" * 5000, "🎈" * 40, "مرحبا " * 30, ""])
def test_a_text_is_cut_to_its_room(text: str) -> None:
    cut: Any = shorten(text, 80, 11)
    assert width(cut, 11) <= 80
    assert cut == text or cut.endswith("…")


def test_steps_are_round() -> None:
    assert [step(most) for most in (1, 4, 5, 9, 21, 400, 401)] == [1, 1, 2, 5, 10, 100, 200]
