"""Rules that need what is read deal by deal say that they wait for it; all others judge (docs/adr/0020)."""

from typing import Any

import pytest

from alerts import wording
from alerts.rules import RULES
from deals.models import Deal
from deals.records import BITS
from tests.world import World

pytestmark = pytest.mark.django_db

HISTORY, PARTICIPANTS, MAIL = BITS["history"], BITS["participants"], BITS["mail"]
Said = tuple[str, str]


@pytest.fixture
def w() -> World:
    """Every rule fires on the deal, or would: two lonely calls with Ana, who decides nothing, a month ago."""
    world = World()
    world.configure(key_role={"roles": {"champion": 12}})
    world.contact("ana", "Buyer", ("Champion",))
    return world


def deal(w: World, waits: int, **fields: Any) -> None:
    values = {"created_at": w.at(60), "close_on": w.day(1), "amount": None, "stage_entered_at": None, **fields}
    w.on_deal("ana", details=waits, **values)
    w.activity("call", 30, "ana")
    w.activity("call", 29, "ana")


def said(w: World, kind: str) -> Said:
    found = w.verdict(kind, subject="champion" if kind == "key_role" else "")
    return found.outcome, found.reason


@pytest.mark.parametrize(
    ("waits", "reasons"),
    [
        (0, {}),
        (HISTORY, {"stuck_in_stage": "history_unread"}),
        (PARTICIPANTS, {"key_role": "participants_unread"}),
        (MAIL, {"single_contact": "mail_unread", "key_role": "mail_unread", "power_map": "mail_unread"}),
        (
            HISTORY | PARTICIPANTS | MAIL,
            {
                "stuck_in_stage": "history_unread",
                "key_role": "participants_unread",
                "single_contact": "mail_unread",
                "power_map": "mail_unread",
            },
        ),
    ],
)
def test_a_rule_waits_for_what_it_needs_and_no_other_does(w: World, waits: int, reasons: dict[str, str]) -> None:
    deal(w, waits)
    for rule in RULES:
        expected = ("unknown", reasons[rule.kind]) if rule.kind in reasons else ("fires", "")
        assert said(w, rule.kind) == expected, rule.kind
    assert {alert.partition(":")[0] for alert in w.alerts()} == {rule.kind for rule in RULES} - reasons.keys()


def test_what_was_read_once_makes_no_rule_wait_again(w: World) -> None:
    deal(w, 0)
    w.evaluate()
    with w.inside():
        Deal.objects.update(unread=7)
    assert len(w.alerts()) == len(RULES)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("stuck_in_stage", {"stage_entered_at": 20}, ("fires", "")),  # the CRM tells the entry itself
        ("power_map", {"close_on": 11}, ("clear", "")),  # too far away, whoever was engaged
        ("power_map", {"close_on": 10}, ("unknown", "mail_unread")),
        ("power_map", {"close_on": None}, ("unknown", "no_close_date")),
    ],
)
def test_a_rule_does_not_wait_where_nothing_unread_can_matter(
    w: World, kind: str, fields: dict[str, Any], expected: Said
) -> None:
    if "stage_entered_at" in fields:
        fields = {"stage_entered_at": w.at(fields["stage_entered_at"])}
    elif fields["close_on"]:
        fields = {"close_on": w.day(-fields["close_on"])}
    deal(w, 7, **fields)
    assert said(w, kind) == expected


def test_somebody_senior_who_was_met_is_enough_without_the_mail(w: World) -> None:
    deal(w, MAIL)
    w.contact("bo", "CEO")
    w.activity("call", 3, "bo")
    assert said(w, "power_map") == ("clear", "")


def test_a_role_that_nobody_holds_does_not_wait_for_the_mail(w: World) -> None:
    w.deal(details=MAIL)
    assert said(w, "key_role") == ("unknown", "no_holder")


def test_an_alert_opens_when_its_facts_have_been_read(w: World) -> None:
    deal(w, MAIL)
    assert "single_contact" not in w.alerts()
    with w.inside():
        Deal.objects.update(waits=0)
    assert w.alerts()["single_contact"] == w.day(20)


def test_each_reason_has_a_sentence_of_its_own() -> None:
    told = [wording.unknown(f"{what}_unread") for what in ("participants", "mail", "history")]
    assert len(set(told)) == 3
    assert wording.unknown("?") not in told
