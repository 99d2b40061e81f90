"""Bulk actions: chosen deals or all that match, at most a thousand, and nothing of others."""

import csv
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from alerts import bulk
from alerts.models import Snooze
from deals.models import Deal
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = world_now()
    world.configure(power_map=False)
    world.contact("zoe")
    for ref in ("one", "two", "three"):
        world.deal(ref, title=ref.title(), close_on=world.day(3))
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
    world.evaluate()
    return world


def do(client: Client, **form: object) -> list[str]:
    """What is told after it."""
    answer = client.post("/deals/bulk/", {"query": "view=risk", **form})
    assert answer.status_code == 302
    assert answer["Location"] == "/deals/?view=risk"
    return [str(message) for message in get_messages(client.get(answer["Location"]).wsgi_request)]


def masks(world: World) -> list[bool]:
    with world.inside():
        return [mask > 0 for mask in Deal.objects.order_by("external_id").values_list("alert_mask", flat=True)]


def pks(world: World, *refs: str) -> list[int]:
    return [world.stored(ref).pk for ref in refs]


def test_chosen_alerts_of_chosen_deals_are_snoozed_until_a_day_and_woken(world: World) -> None:
    client = log_in(world, role="rep")
    chosen = {"deal": pks(world, "one", "two"), "kind": ["close_date_passed", "no_activity"]}
    day = world.clock.today + timedelta(days=5)
    said = do(client, do="snooze", until="date", date=day.isoformat(), reason="on holiday", **chosen)
    assert "2 alerts are snoozed until" in said[0]
    assert masks(world) == [False, True, False]  # one, three, two
    with world.inside():
        assert set(Snooze.objects.values_list("until_on", "reason")) == {(day, "on holiday")}
    assert do(client, do="wake", **chosen) == ["2 alerts are back."]
    assert masks(world) == [True, True, True]


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("tomorrow", "until"),
        ("monday", "until"),
        ("fortnight", "until"),
        ("change", "its deal changes"),
        ("mute", "muted"),
    ],
)
def test_every_choice_of_until_when_does_something(world: World, until: str, told: str) -> None:
    [said] = do(log_in(world), do="snooze", until=until, deal=pks(world, "one"), kind="close_date_passed")
    assert told in said
    assert masks(world) == [False, True, True]


def test_all_that_match_are_all_of_the_list_and_not_only_the_page(world: World) -> None:
    [said] = do(log_in(world), do="snooze", until="mute", all="1", kind="close_date_passed", query="view=risk")
    assert said == "3 alerts are muted."
    assert masks(world) == [False, False, False]


def test_snoozed_deals_have_a_tab_of_their_own(world: World) -> None:
    client = log_in(world)
    assert "Snoozed" not in [tab.label for tab in client.get("/deals/?view=open").context["list"].tabs]
    do(client, do="snooze", until="mute", deal=pks(world, "one"), kind="close_date_passed")
    answer = client.get("/deals/?view=snoozed")
    found = answer.context["list"]
    assert "One: 1 alert, Close date passed (Muted)" in answer.content.decode()
    assert "card-" not in client.get("/deals/?view=clear").content.decode()  # elsewhere it is quiet
    assert [row.deal.title for row in found.rows] == ["One"]
    assert {tab.label: tab.count for tab in found.tabs} == {
        "All open deals": 3,
        "At risk": 2,
        "No alert": 1,
        "Snoozed": 1,
    }


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"do": "snooze", "until": "mute", "kind": "no_activity"}, "Choose at least one deal first."),
        ({"do": "snooze", "until": "mute", "deal": "ONE"}, "Choose at least one alert."),
        ({"do": "snooze", "until": "mute", "deal": "ONE", "kind": "nonsense"}, "Choose at least one alert."),
        ({"do": "snooze", "deal": "ONE", "kind": "no_activity"}, "Choose until when it should be snoozed."),
        ({"do": "snooze", "until": "date", "deal": "ONE", "kind": "no_activity"}, "Choose a date between"),
        ({"do": "explode", "deal": "ONE", "kind": "no_activity"}, "There is nothing of that kind to do."),
        *[
            (
                {"do": "snooze", "until": "date", "date": day, "deal": "ONE", "kind": "no_activity"},
                "Choose a date between",
            )
            for day in ("2026-02-30", "1999-01-01", "9999-12-31", "tomorrow")
        ],
    ],
)
def test_what_is_missing_is_told_and_nothing_is_done(world: World, form: dict[str, str], told: str) -> None:
    if form.get("deal") == "ONE":
        form = form | {"deal": str(world.stored("one").pk)}
    [said] = do(log_in(world), **form)
    assert told in said
    with world.inside():
        assert not Snooze.objects.exists()


def test_deals_of_others_are_left_out_and_told(world: World) -> None:
    other = world_now()
    other.deal("theirs", close_on=other.day(3))
    other.evaluate()
    ids = [*pks(world, "one"), other.stored("theirs").pk, "x", 10**17, "٣"]
    said = do(log_in(world), do="snooze", until="mute", deal=ids, kind="close_date_passed")
    assert said == ["1 alert is muted.", "4 deals were left out: they are not among yours."]
    assert masks(other) == [True]


def test_more_than_the_limit_is_refused_as_a_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST", 2)
    client = log_in(world)
    for chosen in ({"all": "1"}, {"deal": pks(world, "one", "two", "three")}):
        said = do(client, do="snooze", until="mute", kind="close_date_passed", **chosen)
        assert said[-1].startswith("At most 2 deals can be changed at once.")
    assert masks(world) == [True, True, True]


def test_the_chosen_deals_are_exported(world: World) -> None:
    form = {"do": "export", "deal": pks(world, "one", "three"), "query": "sort=amount"}
    answer = log_in(world).post("/deals/bulk/", form)
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    assert sorted(row["Deal"] for row in csv.DictReader(StringIO(text))) == ["One", "Three"]


def test_only_a_post_changes_anything(world: World) -> None:
    client = log_in(world)
    assert client.get("/deals/bulk/", {"do": "snooze", "all": "1"}).status_code == 405
    assert Client().post("/deals/bulk/", {"do": "wake"}).status_code == 302
