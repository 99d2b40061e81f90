"""The deal page: alerts with evidence, margins, reasons, the timeline with what did not count, people, history."""

import html
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Snooze
from deals.models import Source
from deals.records import DealContactRecord, ParticipantRecord
from tests.pages import log_in, scripted, world_now
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return world_now()


def page(world: World, deal: str = "d", language: str = "en", query: str = "") -> str:
    """The page's text as one line, without tags."""
    answer = log_in(world, language=language).get(f"/deals/{world.stored(deal).pk}/{query}")
    assert answer.status_code == 200
    text = html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode()))
    return re.sub(r"\s+", " ", text)


def test_an_active_alert_shows_limit_measured_value_since_and_action(world: World) -> None:
    world.contact("zoe")
    world.on_deal("zoe", created_at=world.at(60), stage_entered_at=world.at(1))
    world.activity("call", 14, "zoe")
    world.evaluate()
    text = page(world)
    assert "Last interaction: call with Zoe on" in text
    assert "14 days ago (limit: 10 days)" in text
    assert "Limit 10 days Measured 14 days Since" in text
    assert "Call or write today, or close the deal." in text


def test_clear_rules_tell_their_margin(world: World) -> None:
    world.deal(created_at=world.at(7))
    world.evaluate()
    text = page(world)
    assert re.search(r"No activity Fires in 3 days, on [^,]+, if nothing happens", text)
    assert "Amount empty The amount is filled in." in text
    assert "One contact only Nobody has been engaged yet." in text


def test_not_evaluable_rules_tell_the_reason(world: World) -> None:
    world.configure(key_role={"roles": {"champion": 12}})
    world.deal(close_on=None)
    world.evaluate()
    text = page(world)
    assert "Close date passed The deal has no close date in the CRM." in text
    assert "Key role silent: Champion No contact of the deal holds this role in the CRM." in text


def test_the_timeline_says_who_took_part_and_why_something_did_not_count(world: World) -> None:
    for ref in ("zoe", "yan"):
        world.contact(ref)
    world.on_deal("zoe", "yan", created_at=world.at(20))
    copied = ParticipantRecord("cc", contact="yan")
    refused = ParticipantRecord("attendee", contact="yan", declined=True)
    mine = ParticipantRecord("attendee", colleague="me", address="me@vigie.example")
    world.activity("email", 9, ParticipantRecord("to", contact="zoe"), copied)
    world.activity("meeting", 8, ParticipantRecord("attendee", contact="zoe"), refused)
    world.activity("meeting", 7, "zoe", state="cancelled")
    world.activity("meeting", 6, "zoe", state="no_show")
    world.activity("call", 5, "zoe", state="attempt")
    world.activity("meeting", 4, mine)
    world.activity("call", 3, "zoe", state="planned")
    world.activity("meeting", -3, "zoe", state="planned")
    world.activity("email", 2)
    text = page(world)
    for sentence in (
        "E-mail to Zoe Email Yan in copy only",
        "Meeting with Zoe Meeting Yan declined",
        "cancelled, not counted",
        "nobody came, not counted",
        "Call with Zoe Call not answered, not counted",
        "colleagues only, not counted",
        "planned, never marked as done, not counted",
        "planned, lies ahead",
        "counts as an interaction, but engages nobody",
    ):
        assert sentence in text


def test_the_timeline_tells_changes_by_name(world: World) -> None:
    world.deal(updated_at=world.at(4))
    world.deal(updated_at=world.at(2), stage="s2", close_on=world.day(-30), amount=5000)
    text = page(world)
    assert "Stage changed from Demo to Offer" in text
    assert "Amount changed from €1,000 to €5,000" in text
    assert "Close date moved from" in text


def test_people_are_shown_by_level_with_roles_and_last_exchange(world: World) -> None:
    world.contact("rep", title="Sales assistant")
    world.contact("boss", title="CEO", roles=("Champion",))
    world.contact("new", title="")
    world.on_deal("rep", "boss", "new", created_at=world.at(20))
    world.activity("call", 3, "rep")
    text = page(world)
    assert text.index("Boss") < text.index("Rep Sales assistant")
    assert "Boss CEO Champion C-level never" in text
    assert "3 days ago call" in text
    assert "New no job title unknown never" in text


def test_somebody_engaged_who_is_no_contact_of_the_deal_is_shown_as_such(world: World) -> None:
    world.deal()
    world.activity("email", 1, ParticipantRecord("to", address="stranger@customer.example"))
    assert "stranger@customer.example no job title not a contact of the deal in the CRM" in page(world)


def test_earlier_alerts_keep_the_reason_why_they_went(world: World) -> None:
    world.contact("zoe")
    world.on_deal("zoe", created_at=world.at(20), stage_entered_at=world.at(1))
    world.evaluate()
    world.activity("call", 0, "zoe", at=world.clock.now)
    world.evaluate()
    text = page(world)
    assert re.search(r"Earlier alerts .*No activity .* to .*: the facts changed", text)


@pytest.mark.parametrize("field", [{"status": "won"}, {"archived": True}, {"deleted": True}])
def test_a_deal_that_is_not_open_says_so(world: World, field: dict[str, object]) -> None:
    world.deal(**field)
    world.evaluate()
    assert "Only open deals have alerts." in page(world)


def test_french(world: World) -> None:
    world.deal(created_at=world.at(20), stage_entered_at=world.at(1))
    world.evaluate()
    text = page(world, language="fr")
    assert "Aucun échange depuis la création du deal le" in text
    assert "il y a 20 jours (seuil : 10 jours)" in text


def test_a_foreign_deal_and_an_unknown_one_get_the_same_answer(world: World) -> None:
    world.deal()
    foreign = world.stored().pk
    client = log_in(world_now(), email="bob@elsewhere.example")
    first, second = client.get(f"/deals/{foreign}/"), client.get("/deals/999999999999/")
    assert first.status_code == second.status_code == 404

    def plain(body: bytes) -> str:
        return re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", body.decode())

    assert plain(first.content) == plain(second.content)
    assert client.get("/deals/99999999999999999999999999/").status_code == 404


def test_the_link_leads_into_the_crm_and_never_elsewhere(world: World) -> None:
    world.deal("17")
    address = f"/deals/{world.stored('17').pk}/"
    with world.inside():
        world.source.link_base = "https://app.hubspot.example/deal/"
        world.source.save()
    assert 'href="https://app.hubspot.example/deal/17"' in log_in(world).get(address).content.decode()
    with world.inside():
        world.source.link_base = "javascript:alert(1)//"
        world.source.save()
    assert "javascript:" not in log_in(world).get(address).content.decode()


def test_a_deal_without_anything_is_shown(world: World) -> None:
    world.deal(title="", amount=None, currency="", stage=None, pipeline=None, owner=None, close_on=None)
    world.evaluate()
    assert "nobody has been engaged" in page(world)


def test_statements_do_not_grow_with_the_history(world: World) -> None:
    for ref in ("zoe", "yan", "xia"):
        world.contact(ref)
    world.on_deal("zoe", "yan", created_at=world.at(60))
    world.activity("call", 20, "zoe")
    world.deal(updated_at=world.at(3), stage="s2", contacts=None)
    world.evaluate()
    client, address = log_in(world), f"/deals/{world.stored().pk}/"
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for days in range(30, 55):
        world.activity("email", days, "zoe", "yan", "xia")
    world.deal(updated_at=world.at(2), stage="s1", contacts=(DealContactRecord("zoe"), DealContactRecord("yan")))
    world.evaluate()
    with CaptureQueriesContext(connection) as many:
        client.get(address)
    assert len(many) <= len(few)


def test_as_many_statements_for_one_alert_as_for_three(world: World) -> None:
    world.contact("zoe", "Buyer")
    for ref in ("one", "three"):
        world.on_deal("zoe", ref=ref, created_at=world.at(30), stage_entered_at=world.at(1))
        world.activity("email", 14, "zoe", deal=ref)
        world.activity("call", 2, "zoe", deal=ref, state="attempt")
    world.activity("meeting", -3, "zoe", deal="one", state="planned")
    world.on_deal(
        "zoe", ref="three", created_at=world.at(30), updated_at=world.at(0), amount=None, close_on=world.day(1)
    )
    world.evaluate()
    client = log_in(world)

    def statements(ref: str) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(f"/deals/{world.stored(ref).pk}/")
        return len(answer.context["alerts"].active), len(captured)

    statements("one")
    (one, first), (three, second) = statements("one"), statements("three")
    assert (one, first) == (1, second)
    assert three > 3


def test_an_alert_leads_to_the_interaction_that_it_cites(world: World) -> None:
    world.contact("zoe")
    world.on_deal("zoe", created_at=world.at(60), stage_entered_at=world.at(1))
    world.activity("call", 14, "zoe")
    world.evaluate()
    html = log_in(world).get(f"/deals/{world.stored().pk}/").content.decode()
    [anchor] = set(re.findall(r'href="#(activity-\d+)"', html))
    assert html.count(f'id="{anchor}"') == 1


def test_with_scripts_the_page_and_what_it_asks_for_hold_what_the_whole_page_does(world: World) -> None:
    """In few statements, however many alerts there are."""
    world.contact("zoe")
    world.on_deal("zoe", created_at=world.at(60), stage_entered_at=world.at(1), updated_at=world.at(50))
    world.on_deal("zoe", created_at=world.at(60), stage="s2", amount=None, close_on=world.day(3))
    world.activity("call", 14, "zoe")
    world.deal("other", amount=1)
    world.evaluate()

    def lines(answer: Any) -> set[str]:
        assert answer.status_code == 200
        return set(filter(None, (line.strip() for line in re.split(r"<[^>]+>|\n", answer.content.decode()))))

    client, path = scripted(world), f"/deals/{world.stored().pk}/"
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        first = client.get(f"{path}?list=sort%3Damount")
    rest = client.get(f"{path}details/?list=sort%3Damount")
    whole = client.get(f"{path}?whole=1&list=sort%3Damount")
    assert len(first.context["alerts"].active) > 3
    assert len([query for query in captured if not query["sql"].startswith(("BEGIN", "COMMIT"))]) <= 15
    missing = lines(whole) - lines(first) - lines(rest)
    assert not [line for line in missing if not re.fullmatch(r"[A-Za-z0-9]{64}", line)]
    assert "Deal created" in lines(rest) - lines(first)
    for narrowed in ("?show=changes", "?all=1"):
        assert "Deal created" in lines(client.get(path + narrowed))
    [link] = set(re.findall(r'href="([^"]+#activity-\d+)"', first.content.decode()))
    assert f'id="{link.partition("#")[2]}"' in client.get(link).content.decode()


def test_a_long_history_is_shown_in_two_steps(world: World) -> None:
    world.deal(created_at=world.at(90))
    for days in range(50):
        world.activity("email", days + 1, subject=f"Mail {days}")
    assert "Mail 5 " in page(world)
    assert "Mail 45" not in page(world)
    assert "Mail 45" in page(world, query="?all=1")


def test_an_alert_tells_which_facts_were_rejected_and_why(world: World) -> None:
    world.contact("zoe", title="Sales assistant")
    world.contact("boss", title="CEO")
    world.on_deal("zoe", "boss", created_at=world.at(60), stage_entered_at=world.at(1), close_on=world.day(-2))
    world.activity("email", 14, ParticipantRecord("to", contact="zoe"), ParticipantRecord("cc", contact="boss"))
    world.activity("call", 3, ParticipantRecord("other", contact="zoe"), state="attempt")
    world.evaluate()
    text = page(world)
    assert re.search(
        r"1 unanswered call since\. Show it in the timeline Call with Zoe on [^:]+: not answered, not counted", text
    )
    assert re.search(r"No decision maker engaged .*E-mail to Zoe on [^:]+: Boss in copy only", text)


# ---- Snoozing from the page


@pytest.fixture
def silent(world: World) -> World:
    """A deal with two alerts: no activity for 20 days, and no meeting."""
    world.first_synced()
    world.deal(created_at=world.at(20), stage_entered_at=world.at(1))
    world.evaluate()
    return world


def send(world: World, what: str, **data: Any) -> Any:
    """The page that follows a form of the deal page, as text."""
    data = {"kind": "no_activity", "subject": "", **data}
    answer = log_in(world, role="rep").post(f"/deals/{world.stored().pk}/{what}/", data, follow=True)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def test_everybody_may_snooze_and_the_page_says_who_did_until_when_and_why(silent: World) -> None:
    text = send(silent, "snooze", until="fortnight", reason="On <holiday>")
    assert "Active alerts 1" in text
    assert re.search(r"Snoozed 1 No activity Snoozed until [^·]+ · Ana Ruiz On <holiday>", text)
    assert re.search(r"Snoozed until [^:]+: No activity Ana Ruiz · On <holiday>", text), "the timeline tells it"
    with silent.inside():
        assert Snooze.objects.get().until_on == silent.day(-14)


@pytest.mark.parametrize(
    ("until", "days", "told"),
    [("tomorrow", 1, "Snoozed until"), ("mute", None, "Muted"), ("change", None, "Snoozed until the deal changes")],
)
def test_a_snooze_lasts_as_long_as_was_chosen(silent: World, until: str, days: int | None, told: str) -> None:
    assert told in send(silent, "snooze", until=until)
    with silent.inside():
        only = Snooze.objects.get()
    assert only.until_on == (silent.day(-days) if days else None)
    assert bool(only.state) is (until == "change")


def test_next_monday_is_a_monday_ahead(silent: World) -> None:
    send(silent, "snooze", until="monday")
    with silent.inside():
        until = Snooze.objects.get().until_on
    assert until.weekday() == 0
    assert timedelta(0) < until - silent.clock.today <= timedelta(days=7)


@pytest.mark.parametrize("wrong", ["", "2026-02-30", "yesterday", "1999-01-01", "9999-12-31", "\x00", "²026-01-01"])
def test_a_date_that_does_not_exist_or_lie_ahead_is_told(silent: World, wrong: str) -> None:
    assert "Choose a date between tomorrow and a year from now." in send(silent, "snooze", until="date", date=wrong)
    with silent.inside():
        assert not Snooze.objects.exists()


def test_an_alert_that_has_gone_meanwhile_is_told(silent: World) -> None:
    assert "This alert is no longer open." in send(silent, "snooze", until="mute", kind="amount_empty")
    assert "This alert is no longer open." in send(silent, "snooze", until="mute", kind="<b>\x00", subject="\x00")
    assert "Choose until when it should be snoozed." in send(silent, "snooze", until="sometime")
    assert "This alert is not snoozed any more." in send(silent, "wake")


def test_a_snooze_is_undone_and_the_timeline_keeps_both(silent: World) -> None:
    send(silent, "snooze", until="mute")
    text = send(silent, "wake")
    assert "Active alerts 2" in text
    assert "Snooze ended: No activity Ana Ruiz" in text
    assert "Muted: No activity Ana Ruiz" in text


def test_the_timeline_says_why_a_snooze_ended_by_itself(silent: World) -> None:
    for until in (silent.day(-1), None):
        with silent.inside():
            deal = silent.stored()
            Snooze.objects.create(
                organisation=silent.organisation,
                deal=deal,
                kind="no_activity",
                until_on=until,
                state="" if until else "was",
                created_at=silent.at(3),
                ended_at=silent.clock.now + timedelta(days=2),
            )
    text = page(silent)
    assert "Snooze ended: No activity Its date has come" in text
    assert "Snooze ended: No activity The deal has changed" in text


def test_forms_of_the_page_are_refused_without_a_post(silent: World) -> None:
    client = log_in(silent)
    for what in ("snooze", "wake", "feedback"):
        assert client.get(f"/deals/{silent.stored().pk}/{what}/").status_code == 405


# ---- Timeline


def test_the_timeline_tells_alerts_and_can_be_narrowed_to_a_kind(silent: World) -> None:
    silent.activity("email", 0, at=silent.clock.now, subject="Hello")
    silent.deal(created_at=silent.at(20), updated_at=silent.at(0), stage="s2")
    silent.evaluate()
    everything = page(silent)
    for told in (
        "Alert opened: No activity",
        "Alert resolved: No activity The facts changed",
        "E-mail Hello",
        "Stage changed from Demo to Offer",
        "Deal created",
    ):
        assert told in everything
    kinds = {kind: page(silent, query=f"?show={kind}") for kind in ("exchanges", "changes", "alerts")}
    for told, kind in (("Alert opened:", "alerts"), ("E-mail Hello", "exchanges"), ("Stage changed", "changes")):
        assert [each for each, text in kinds.items() if told in text] == [kind]


@pytest.mark.parametrize(
    "query", ["?show=nonsense", "?show=", "?all=2&show=%00", "?list=%00%ff&list=x", "?list=" + "a" * 5000]
)
def test_any_parameter_in_the_address_is_answered_with_the_page(silent: World, query: str) -> None:
    assert "Deal created" in page(silent, query=query)


# ---- The way through the list


def walk(world: World, ref: str, list_query: str) -> dict[str, str]:
    """Where the page leads: {"prev" or "next": title of the deal}."""
    answer = log_in(world).get(f"/deals/{world.stored(ref).pk}/?list={quote(list_query)}")
    found = re.findall(r'rel="(prev|next)" data-key="[jk]" href="/deals/(\d+)/\?list=([^"]*)"', answer.content.decode())
    assert {kept for _rel, _pk, kept in found} <= {quote(list_query, safe="")}
    with world.inside():
        return {rel: world.organisation.deals.get(pk=pk).title for rel, pk, _list in found}


def three(world: World) -> None:
    for title, amount, close in (("Big", 900, -10), ("Small", 100, None), ("Middle", 500, -5), ("None", None, -20)):
        world.deal(title, title=title, amount=amount, close_on=None if close is None else world.day(close))
    world.activity("meeting", -3, deal="Big", state="planned")
    world.evaluate()


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("-amount", ["Big", "Middle", "Small", "None"]),
        ("amount", ["Small", "Middle", "Big", "None"]),
        ("close", ["Middle", "Big", "None", "Small"]),
        ("-close", ["None", "Big", "Middle", "Small"]),
        ("-risk", ["Middle", "Big", "None", "Small"]),
    ],
)
def test_next_and_previous_follow_the_list_from_which_one_came(world: World, sort: str, order: list[str]) -> None:
    three(world)
    for n, title in enumerate(order):
        beside = {"prev": order[n - 1] if n else None, "next": order[n + 1] if n + 1 < len(order) else None}
        assert walk(world, title, f"sort={sort}") == {rel: each for rel, each in beside.items() if each}


@pytest.mark.parametrize("nothing", ["view=mine", "team=999", "owner=999", "q=zzz", "stage=999&sort=close"])
def test_a_list_without_deals_leads_nowhere(world: World, nothing: str) -> None:
    three(world)
    assert walk(world, "Middle", nothing) == {}


def test_filters_of_the_list_count_and_the_way_back_leads_to_it(world: World) -> None:
    three(world)
    assert walk(world, "Middle", "alert=amount_empty&sort=-amount") == {"next": "None"}
    answer = log_in(world).get(f"/deals/{world.stored('Middle').pk}/?list={quote('alert=amount_empty&page=3')}")
    assert 'class="back" href="/deals/?alert=amount_empty&amp;page=3"' in answer.content.decode()


def test_without_a_list_there_is_no_next_deal(world: World) -> None:
    three(world)
    body = log_in(world).get(f"/deals/{world.stored('Big').pk}/").content.decode()
    assert 'rel="next"' not in body


def test_a_wrong_list_is_the_plain_one(world: World) -> None:
    three(world)
    assert walk(world, "None", "view=nonsense&owner=x&sort=%00") == walk(world, "None", "")


def test_rows_of_the_list_carry_it_along(world: World) -> None:
    three(world)
    body = log_in(world).get("/deals/?view=risk&sort=amount").content.decode()
    assert f'href="/deals/{world.stored("Small").pk}/?list=view%3Drisk%26sort%3Damount" data-row' in body


# ---- Stage history


def stages(world: World) -> list[tuple[str, str, str, str, bool]]:
    found = log_in(world).get(f"/deals/{world.stored().pk}/").context["stages"]
    plain = [[text.replace("\u00a0", " ") for text in (s.name, s.days, s.visits, s.limit)] for s in found]
    return [(*texts, s.current) for texts, s in zip(plain, found, strict=True)]


def moved(world: World, days_ago: int, stage: str, **fields: Any) -> None:
    """The deal is read in another stage; World's clock is what the page calls now."""
    world.deal(
        created_at=world.at(40),
        updated_at=world.at(days_ago),
        stage=stage,
        stage_entered_at=world.at(days_ago),
        **fields,
    )


def test_days_in_each_stage_add_up_over_visits_and_are_held_against_their_limits(world: World) -> None:
    with world.inside():
        Source.objects.update(first_synced_at=world.at(50))
        limits = {str(world.organisation.stages.get(external_id="s2").pk): 30}
    world.configure(stuck_in_stage={"days": 12, "stages": limits})
    for days_ago, stage in ((40, "s1"), (30, "s2"), (25, "s1"), (5, "s2")):
        moved(world, days_ago, stage)
    assert stages(world) == [
        ("Demo", "30 days", "2 stays", "12 days", False),
        ("Offer", "10 days", "2 stays", "30 days", True),
    ]


def test_what_was_before_the_first_synchronisation_is_said_as_at_least(world: World) -> None:
    world.deal(created_at=world.at(40), updated_at=world.at(40))
    with world.inside():
        Source.objects.update(first_synced_at=world.at(20))
    moved(world, 6, "s2")
    assert stages(world) == [
        ("Demo", "at least 14 days", "", "12 days", False),
        ("Offer", "6 days", "", "12 days", True),
    ]
    assert re.search(r"Earlier stages are not known: Vigie has followed this deal since", page(world))


def test_the_stage_of_a_closed_deal_ends_with_it(world: World) -> None:
    with world.inside():
        Source.objects.update(first_synced_at=world.at(50))
    moved(world, 30, "s1")
    moved(world, 10, "s1", status="won", closed_at=world.at(10))
    assert stages(world) == [("Demo", "30 days", "", "12 days", False)]


def test_a_rule_that_is_off_draws_no_limit(world: World) -> None:
    world.configure(stuck_in_stage=False, power_map=False, no_activity=False)
    world.deal()
    [stage] = log_in(world).get(f"/deals/{world.stored().pk}/").context["stages"]
    assert (stage.limit, stage.mark, stage.over) == ("", None, False)


def test_hostile_words_from_the_crm_are_shown_as_they_are(world: World) -> None:
    evil = "<script>alert(1)</script>" + "x" * 5000 + "مرحبا 🎈"
    world.contact("zoe", title=evil)
    world.on_deal("zoe", title=evil, created_at=world.at(20))
    world.activity("call", 3, "zoe", subject=evil)
    world.evaluate()
    body = log_in(world).get(f"/deals/{world.stored().pk}/").content.decode()
    assert "<script>alert" not in body
    assert "مرحبا" in body
