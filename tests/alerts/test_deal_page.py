"""The deal page: alerts with evidence, margins, reasons, the timeline with what did not count, people, history."""

import html
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deals.records import DealContactRecord, ParticipantRecord
from tests.pages import log_in, world_now
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
