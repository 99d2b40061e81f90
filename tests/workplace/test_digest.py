"""The digest: who gets it, when, what is in it, and never twice."""

import logging
import smtplib
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.db import connection

from accounts.models import Membership, User
from alerts import snoozing
from alerts.models import Alert
from deals.models import Deal
from deals.records import ColleagueRecord, TeamRecord
from tests.world import World
from workplace import digest, tasks

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 11, 23, 7, 10, tzinfo=ZoneInfo("Europe/Paris"))


def owner(ref: str, *teams: str) -> ColleagueRecord:
    names = tuple(TeamRecord(name, name) for name in teams)
    return ColleagueRecord(ref, ref.title(), f"{ref}@vigie.example", True, names)


@pytest.fixture
def world() -> World:
    """Ana and Bea are in North, Carl in South. Each has a deal that has had no activity for a long time."""
    w = World(now=MONDAY.astimezone(UTC) - timedelta(hours=3))
    w.write(colleagues=[owner("ana", "North"), owner("bea", "North"), owner("carl", "South")])
    w.first_synced()
    for ref in ("ana", "bea", "carl"):
        w.deal(ref, owner=ref, title=f"Deal of {ref}", created_at=w.at(20), stage_entered_at=w.at(1))
    w.evaluate()
    return w


def member(w: World, name: str, role: str = "rep", often: str = "daily", **user: str) -> Membership:
    person = User.objects.create_user(f"{name}@vigie.example", name=name.title(), **user)
    return Membership.objects.create(user=person, organisation=w.organisation, role=role, digest=often)


def send(w: World, member: Membership, now: datetime = MONDAY) -> str:
    """What the member got; empty for no mail."""
    before = len(mail.outbox)
    sent = digest.send(w.organisation, member.pk, now)
    assert len(mail.outbox) - before == sent
    return str(mail.outbox[-1].body) if sent else ""


def told(text: str) -> set[str]:
    return {name for name in ("ana", "bea", "carl") if f"Deal of {name}" in text}


# ---- Whose deals


def test_a_rep_is_told_of_their_own_deals(world: World) -> None:
    text = send(world, member(world, "ana"))
    assert told(text) == {"ana"}
    assert "No activity" in text
    assert f"http://localhost:8000/deals/{world.stored('ana').pk}/" in text


def test_a_manager_is_told_of_their_teams_deals_and_without_a_team_of_all(world: World) -> None:
    assert told(send(world, member(world, "ana", "manager"))) == {"ana", "bea"}
    assert told(send(world, member(world, "zoe", "manager"))) == {"ana", "bea", "carl"}


def test_a_rep_who_is_nobody_in_the_crm_gets_no_mail(world: World) -> None:
    assert send(world, member(world, "zoe")) == ""


def test_the_deals_of_another_organisation_are_in_no_digest(world: World) -> None:
    other = World()
    assert send(other, member(other, "zoe", "admin")) == ""


# ---- What is in it


def test_it_tells_what_happened_since_the_last_one_and_no_news_is_no_mail(world: World) -> None:
    ana = member(world, "ana")
    assert told(send(world, ana)) == {"ana"}
    assert send(world, ana, MONDAY + timedelta(days=1)) == ""
    world.activity("call", 0, deal="ana")
    world.clock = type(world.clock)(MONDAY.astimezone(UTC) + timedelta(days=1, hours=2), world.clock.zone)
    world.evaluate()
    text = send(world, ana, MONDAY + timedelta(days=2))
    assert "No activity: resolved, the facts changed" in text


def test_what_happens_between_seven_and_the_mail_is_in_the_next_one(world: World) -> None:
    ana = member(world, "ana")
    with world.inside():
        Alert.objects.update(opened_at=MONDAY)
    assert send(world, ana, MONDAY + timedelta(hours=2)) == ""
    assert told(send(world, ana, MONDAY + timedelta(days=1))) == {"ana"}


def test_what_came_and_went_between_two_mails_is_not_told(world: World) -> None:
    ana = member(world, "ana")
    with world.inside():
        Alert.objects.update(resolved_at=MONDAY - timedelta(hours=1), reason="won")
    assert send(world, ana) == ""


def test_a_snoozed_alert_is_not_told(world: World) -> None:
    ana = member(world, "ana")
    with world.inside():
        deals = [world.stored("ana").pk]
        kinds = list(Alert.objects.filter(deal__in=deals).values_list("kind", flat=True).distinct())
        snoozing.snooze(world.organisation, deals, kinds, None, False, "later", ana.user, world.clock)
    assert send(world, ana) == ""


def test_critical_ones_come_first_twenty_deals_are_named_and_the_rest_is_counted(world: World) -> None:
    for n in range(25):
        world.deal(f"w{n}", owner="ana", title=f"Warned {n}")
    world.evaluate()
    text = send(world, member(world, "ana"))
    assert text.index("Deal of ana") < text.index("Warned")
    assert text.count("/deals/") == 20 + 1
    assert "and 6 more deals: http://localhost:8000/deals/?view=risk" in text


def test_it_takes_as_many_statements_for_many_deals_as_for_one(
    world: World, django_assert_max_num_queries: Any
) -> None:
    first, second = member(world, "ana"), member(world, "bea")
    with django_assert_max_num_queries(20) as one:
        assert send(world, first)
    for n in range(10):
        world.deal(f"n{n}", owner="bea", title=f"Deal {n}", created_at=world.at(20), amount=None)
    world.evaluate()
    with django_assert_max_num_queries(20) as many:
        assert send(world, second)
    assert len(one) == len(many)


def test_it_is_in_the_language_of_the_profile_else_of_the_organisation(world: World) -> None:
    world.organisation.language = "fr"
    world.organisation.save()
    send(world, member(world, "ana"))
    assert "nouvelle" in mail.outbox[-1].subject
    send(world, member(world, "bea", language="en"))
    assert "new alert" in mail.outbox[-1].subject


def test_hostile_names_make_no_header_and_no_tag(world: World) -> None:
    evil = "<script>x</script>‮\U0001f680\r\nBcc: all@vigie.example " + "x" * 5_000
    world.deal("ana", owner="ana", title=evil, created_at=world.at(20), updated_at=world.at(1))
    send(world, member(world, "ana"))
    [message] = mail.outbox
    [(html, _kind)] = message.alternatives
    assert "<script>x" not in html
    assert message.recipients() == ["ana@vigie.example"]
    assert b"\nBcc:" not in message.message().as_bytes().partition(b"\n\n")[0]


def test_the_profile_is_where_it_ends(world: World) -> None:
    text = send(world, member(world, "ana"))
    assert "http://localhost:8000/profile/#digest" in text
    assert mail.outbox[-1].extra_headers["List-Unsubscribe"] == "<http://localhost:8000/profile/>"


# ---- When


def paris(month: int, day: int, hour: int, minute: int) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo("Europe/Paris"))


@pytest.mark.parametrize(
    ("often", "when", "expected"),
    [
        ("daily", paris(11, 23, 6, 59), False),
        ("daily", paris(11, 23, 7, 0), True),
        ("daily", paris(11, 23, 11, 59), True),
        ("daily", paris(11, 23, 12, 0), False),
        ("daily", paris(11, 22, 7, 30), False),  # a Sunday
        ("daily", paris(11, 11, 7, 30), False),  # Armistice
        ("daily", paris(3, 30, 7, 0), True),  # the morning after summer time began
        ("weekly", paris(11, 23, 7, 30), True),
        ("weekly", paris(11, 24, 7, 30), False),
        ("never", paris(11, 23, 7, 30), False),
    ],
)
def test_it_is_due_from_seven_to_noon_on_the_mornings_that_were_chosen(
    world: World, often: str, when: datetime, expected: bool
) -> None:
    ana = member(world, "ana", often=often)
    assert bool(digest.due(ana, when)) is expected


def test_seven_is_that_of_the_members_zone(world: World) -> None:
    ana = member(world, "ana", time_zone="America/New_York")
    assert digest.due(ana, MONDAY) is None
    assert digest.due(ana, datetime(2026, 11, 23, 12, 5, tzinfo=UTC)) == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_it_is_sent_once_a_morning(world: World) -> None:
    ana = member(world, "ana")
    assert send(world, ana)
    assert send(world, ana, MONDAY + timedelta(hours=1)) == ""


def test_a_member_who_never_wanted_one_or_was_switched_off_gets_none(world: World) -> None:
    never, gone = member(world, "ana", often="never"), member(world, "bea")
    gone.user.is_active = False
    gone.user.save()
    assert send(world, never) == send(world, gone) == ""


def test_a_mail_that_fails_is_still_due_and_the_log_names_no_address(
    world: World, monkeypatch: Any, caplog: Any, settings: Any
) -> None:
    ana = member(world, "ana")

    def refuse(*args: Any) -> None:
        raise smtplib.SMTPRecipientsRefused({"ana@vigie.example": (550, b"no")})

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
        patch.setattr(tasks, "datetime", Stopped)
        tasks.send_digest(world.organisation.pk, ana.pk)
    assert "was not sent: SMTPRecipientsRefused" in caplog.text
    assert "ana@vigie.example" not in caplog.text
    assert told(send(world, ana, MONDAY + timedelta(minutes=20))) == {"ana"}


class Stopped(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return MONDAY


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_one(world: World) -> None:
    ana = member(world, "ana")
    meet, sent = threading.Barrier(2), []

    def work() -> None:
        try:
            meet.wait(10)
            sent.append(digest.send(world.organisation, ana.pk, MONDAY))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(sent) == [False, True]
    assert len(mail.outbox) == 1


def test_deals_won_since_are_told_as_resolved(world: World) -> None:
    ana = member(world, "ana")
    send(world, ana)
    world.deal("ana", owner="ana", title="Deal of ana", status="won", created_at=world.at(20), updated_at=world.at(0))
    world.clock = type(world.clock)(MONDAY.astimezone(UTC) + timedelta(hours=5), world.clock.zone)
    world.evaluate()
    with world.inside():
        assert Deal.objects.get(external_id="ana").status == "won"
    assert "resolved, the deal was won" in send(world, ana, MONDAY + timedelta(days=1))
