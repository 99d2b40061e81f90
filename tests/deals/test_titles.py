"""Stored levels: corrections win, arrive at once, and go on to people and deals; a release with other rules too."""

import runpy
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Organisation, User
from accounts.tenancy import tenant
from alerts import tasks
from alerts.models import Pending
from deals import people, seniority, titles
from deals.models import Contact, Person, TitleCorrection
from deals.records import ContactRecord, ParticipantRecord
from deals.seniority import FINGERPRINT, Level
from tests.world import World, but_statistics

KINDS = ("CEO", "VP Sales", "Head of IT", "CSM", "Former CEO", "-", "")


def correct(world: World, title: str, level: int, user: User | None = None) -> set[int]:
    with world.inside():
        return titles.correct(world.organisation, title, level, user, world.clock)


def withdraw(world: World, title: str) -> set[int]:
    with world.inside():
        return titles.withdraw(world.organisation, title, world.clock)


def contacts(world: World) -> dict[str, tuple[int | None, str]]:
    """{contact: (level, rule)}"""
    with world.inside():
        return {c.external_id: (c.level, c.level_rule) for c in Contact.objects.order_by("pk")}


def persons(world: World) -> list[tuple[str, int | None, str]]:
    """(title, level, rule) of each person."""
    with world.inside():
        return list(Person.objects.order_by("pk").values_list("job_title", "level", "level_rule"))


# ---- The key of an exact title


@pytest.mark.parametrize(
    "spelling", ["Head of Sales", "HEAD OF SALES", "  head\tof \u00a0 sales\n", "Head of\u2003Sales", "Head of S\0ales"]
)
def test_case_and_spaces_make_no_other_title(spelling: str) -> None:
    assert titles.key_of(spelling) == "head of sales"


@pytest.mark.parametrize("other", ["Head of Sales.", "Head-of-Sales", "Head of Sáles", "Heads of Sales", "HeadofSales"])
def test_anything_else_makes_another_title(other: str) -> None:
    assert titles.key_of(other) != titles.key_of("Head of Sales")


@given(st.text() | st.text(alphabet="Çİßé ﬁ\u0345\t", min_size=150, max_size=600))
def test_a_key_is_its_own_key_and_fits_an_index(title: str) -> None:
    key = titles.key_of(title)
    assert titles.key_of(key) == key
    assert len(key) <= titles.LONGEST_KEY


def test_long_titles_that_differ_at_their_end_have_different_keys() -> None:
    assert titles.key_of("x " * 5_000 + "a") != titles.key_of("x " * 5_000 + "b")


# ---- Corrections


@pytest.mark.django_db
def test_a_correction_wins_over_the_rules_for_every_spelling_and_nobody_else() -> None:
    w = World()
    for ref, title in (("a", "CSM"), ("b", " csm"), ("c", "CSM EMEA"), ("d", "CEO")):
        w.contact(ref, title)
    correct(w, "Csm", Level.DIRECTOR)
    assert contacts(w) == {
        "a": (1, "correction"),
        "b": (1, "correction"),
        "c": (0, "no office"),
        "d": (3, "c_level:ceo"),
    }
    assert [row[1:] for row in persons(w)] == list(contacts(w).values())


@pytest.mark.django_db
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_correction_may_lower_confirm_or_raise(level: int) -> None:
    w = World()
    w.contact("a", "VP Sales")
    correct(w, "VP Sales", level)
    assert contacts(w) == {"a": (level, "correction")}


@pytest.mark.django_db
def test_a_contact_that_arrives_has_its_corrected_level_at_once() -> None:
    w = World()
    w.contact("a", "CSM")
    correct(w, "CSM", Level.VP)
    w.contact("b", "csm")
    w.contact("c", "CEO")
    w.contact("c", "CSM", updated_at=w.at(1))
    assert contacts(w) == dict.fromkeys("abc", (2, "correction"))
    assert [row[1] for row in persons(w)] == [2, 2, 2]


@pytest.mark.django_db
def test_a_batch_of_contacts_costs_as_many_statements_as_one() -> None:
    w = World()
    w.contact("a", "CSM")
    correct(w, "CSM", Level.VP)

    def write(number: int, first: int) -> int:
        said = [
            ContactRecord(f"c{n}", "C", f"CSM {n}" if n % 2 else "CSM", (f"{n}@customer.example",), None, (), w.at(3))
            for n in range(first, first + number)
        ]
        with CaptureQueriesContext(connection) as asked:
            w.write(contacts=said)
        return but_statistics(asked)

    assert write(1, 0) == write(2_000, 10)
    assert contacts(w)["c1000"] == (2, "correction")


@pytest.mark.django_db
def test_a_withdrawn_correction_leaves_the_title_to_the_rules() -> None:
    w = World()
    w.contact("a", "CEO")
    correct(w, "CEO", Level.NONE)
    assert contacts(w) == {"a": (0, "correction")}
    withdraw(w, " ceo ")
    assert contacts(w) == {"a": (3, "c_level:ceo")}
    assert withdraw(w, "CEO") == set()
    assert withdraw(w, "nobody's") == set()


@pytest.mark.django_db
def test_the_last_correction_counts_and_says_by_whom_and_when() -> None:
    w = World()
    user = User.objects.create_user("ana@vigie.example", name="Ana Ruiz")
    w.contact("a", "Csm")
    correct(w, "CSM", Level.VP)
    correct(w, "csm", Level.DIRECTOR, user)
    with w.inside():
        [stored] = TitleCorrection.objects.all()
        assert (stored.title, stored.level, stored.corrected_by, stored.corrected_at) == ("Csm", 1, user, w.clock.now)
        [title] = titles.listing(w.organisation).titles
        assert (title.corrected_by, title.rule, title.level) == ("Ana Ruiz", "correction", 1)
    with w.inside():
        user.delete()
        [title] = titles.listing(w.organisation).titles
        assert (title.corrected_by, title.corrected_at) == ("", w.clock.now)


@pytest.mark.django_db
@pytest.mark.parametrize("title", ["CTO", "", " ", "\0", "<b>CSM</b>", "x" * 5_000])
def test_a_title_that_nobody_has_is_refused(title: str) -> None:
    w = World()
    w.contact("a", "CSM")
    w.contact("b", "CTO", deleted=True)
    w.contact("c", "")
    with pytest.raises(titles.NobodyHasIt):
        correct(w, title, Level.VP)


@pytest.mark.django_db
@pytest.mark.parametrize("level", [-1, 4, 99])
def test_a_level_that_does_not_exist_is_refused(level: int) -> None:
    w = World()
    w.contact("a", "CSM")
    with pytest.raises(ValueError, match=str(level)):
        correct(w, "CSM", level)
    assert contacts(w) == {"a": (0, "no office")}


@pytest.mark.django_db
def test_a_title_without_letters_and_a_very_long_one_can_be_corrected() -> None:
    w = World()
    long = "Responsable " + "très " * 2_000 + "important"
    w.contact("a", "🚀")
    w.contact("b", long)
    correct(w, "🚀", Level.C_LEVEL)
    correct(w, long, Level.VP)
    assert contacts(w) == {"a": (3, "correction"), "b": (2, "correction")}


@pytest.mark.django_db
def test_another_organisation_keeps_its_own_opinion() -> None:
    alice, bob = World(), World()
    for w in (alice, bob):
        w.contact("a", "CSM")
    correct(alice, "CSM", Level.VP)
    bob.contact("b", "CSM")
    assert set(contacts(bob).values()) == {(0, "no office")}


# ---- On to people and deals


@pytest.mark.django_db
def test_a_person_has_the_highest_level_of_their_contacts() -> None:
    w = World()
    w.contact("a", "CSM", emails=("same@customer.example",))
    w.contact("b", "Director", emails=("same@customer.example",))
    w.contact("gone", "CEO", emails=("same@customer.example",), deleted=True)
    assert persons(w) == [("Director", 1, "director:director")]
    correct(w, "CSM", Level.VP)
    assert persons(w) == [("CSM", 2, "correction")]
    correct(w, "CSM", Level.NONE)
    assert persons(w) == [("Director", 1, "director:director")]


@pytest.mark.django_db
@settings(max_examples=30)
@given(st.data())
def test_people_relevelled_are_as_if_they_had_just_arrived(data: Any) -> None:
    with transaction.atomic():
        w = World()
        held = data.draw(
            st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.booleans()), min_size=1, max_size=6)
        )
        for n, (title, human, deleted) in enumerate(held):
            w.contact(f"c{n}", title, emails=(f"{human}@customer.example",), deleted=deleted)
        for title in data.draw(st.sets(st.sampled_from(["CEO", "CSM", "-"]))):
            if any(kind == title and not deleted for kind, _human, deleted in held):
                correct(w, title, data.draw(st.integers(0, 3)))
        relevelled = persons(w)
        with w.inside(), connection.cursor() as cursor:
            ids = list(Contact.objects.values_list("pk", flat=True))
            assert people.assign(cursor, w.source, ids) == set()
        assert persons(w) == relevelled
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_unknown_people_have_no_title() -> None:
    w = World()
    w.deal()
    w.activity("email", 2, ParticipantRecord("to", "stranger@customer.example"))
    w.contact("a", "CSM")
    assert correct(w, "CSM", Level.C_LEVEL) == set()
    assert persons(w)[0] == ("", None, "")
    assert w.stored().titled_count == 0


@pytest.mark.django_db
def test_only_deals_on_which_such_a_person_was_engaged_are_touched() -> None:
    w = World()
    w.contact("ana", "CSM")
    w.contact("bo", "CEO")
    for ref in ("engaged", "contact only", "bo's"):
        w.on_deal("bo" if ref == "bo's" else "ana", ref=ref)
    w.activity("call", 2, "ana", deal="engaged")
    w.activity("call", 2, "bo", deal="bo's")
    assert correct(w, "CSM", Level.DIRECTOR) == {w.stored("engaged").pk}
    assert w.stored("engaged").top_level == 1
    assert correct(w, "CSM", Level.DIRECTOR) == set()
    assert withdraw(w, "CSM") == {w.stored("engaged").pk}
    assert w.stored("engaged").top_level == 0


@pytest.mark.django_db
def test_the_alert_on_decision_makers_follows_a_correction() -> None:
    w = World()
    w.contact("ana", "CSM")
    w.on_deal("ana", close_on=w.day(-2))
    w.activity("call", 2, "ana")
    assert "power_map" in w.alerts()
    correct(w, "CSM", Level.DIRECTOR)
    assert "power_map" not in w.alerts()
    withdraw(w, "CSM")
    assert "power_map" in w.alerts()


@pytest.mark.django_db
def test_a_correction_costs_as_many_statements_for_one_person_as_for_a_thousand() -> None:
    w = World()

    def cost(title: str, number: int) -> int:
        refs = [f"{title} {n}" for n in range(number)]
        said = [ContactRecord(ref, ref, title, (f"{ref}@customer.example",), None, (), w.at(5)) for ref in refs]
        w.write(contacts=said)
        w.on_deal(refs[0], ref=title)
        w.activity("email", 2, *refs, deal=title)
        with CaptureQueriesContext(connection) as asked:
            assert len(correct(w, title, Level.VP)) == 1
        return len(asked)

    assert cost("CSM", 1) == cost("Buyer", 1_000)


# ---- Other rules with a release


def other_rules(world: World) -> None:
    """As if the stored levels came from an earlier release, whose rules knew no CEO and no exact titles."""
    with world.inside():
        for model in (Contact, Person):
            model.objects.filter(level=3).update(level=0, level_rule="no office")
        Contact.objects.update(title_key="")
        Organisation.objects.filter(pk=world.organisation.pk).update(title_rules="earlier")
    with world.inside(), connection.cursor() as cursor:
        cursor.execute("UPDATE deals_deal SET top_level = 0 WHERE organisation_id = %s", [world.organisation.pk])


def rules_of(world: World) -> str:
    return Organisation.objects.get(pk=world.organisation.pk).title_rules


@pytest.mark.django_db
def test_a_release_with_other_rules_brings_levels_deals_and_alerts_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(titles, "TITLES_AT_ONCE", 2)
    w = World()
    for n, title in enumerate(KINDS):
        w.contact(f"c{n}", title)
    w.on_deal("c0", close_on=w.day(-2))
    w.activity("call", 2, "c0")
    correct_now = contacts(w)
    other_rules(w)
    assert "power_map" in w.alerts()
    tasks.relevel_titles(w.organisation.pk)
    assert contacts(w) == correct_now
    with w.inside():
        assert set(Contact.objects.values_list("title_key", flat=True)) == {titles.key_of(title) for title in KINDS}
        assert list(Pending.objects.values_list("deal", flat=True)) == [w.stored().pk]
    assert w.stored().top_level == 3
    assert "power_map" not in w.alerts()
    assert rules_of(w) == FINGERPRINT


@pytest.mark.django_db
def test_corrections_survive_a_release() -> None:
    w = World()
    w.contact("a", "CSM")
    correct(w, "CSM", Level.C_LEVEL)
    other_rules(w)
    tasks.relevel_titles(w.organisation.pk)
    assert contacts(w) == {"a": (3, "correction")}


@pytest.mark.django_db
def test_relevel_without_titles_brings_everything_up_to_date_at_once() -> None:
    w = World()
    w.contact("a", "CEO")
    w.on_deal("a")
    w.activity("call", 2, "a")
    other_rules(w)
    with w.inside():
        assert titles.relevel(w.organisation, w.clock) == {w.stored().pk}
        assert titles.relevel(w.organisation, w.clock) == set()
    assert contacts(w) == {"a": (3, "c_level:ceo")}


@pytest.mark.django_db
def test_the_sweep_rings_for_organisations_with_other_rules_only(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = World(), World()
    tasks.relevel_titles(new.organisation.pk)
    rung: list[int] = []
    monkeypatch.setattr(tasks.relevel_titles, "delay", rung.append)
    tasks.sweep()
    assert rung == [old.organisation.pk]


def test_the_fingerprint_changes_with_the_rules(tmp_path: Path) -> None:
    source, other = Path(seniority.__file__).read_text("utf-8"), tmp_path / "seniority.py"
    for text, same in ((source, True), (source.replace("ceo cfo", "ceo cfo chef"), False)):
        other.write_text(text, "utf-8")
        assert (runpy.run_path(str(other))["FINGERPRINT"] == FINGERPRINT) is same


@pytest.mark.django_db(transaction=True)
def test_a_second_worker_leaves_the_titles_to_the_first() -> None:
    w = World()
    w.contact("a", "CEO")
    other_rules(w)

    def second() -> None:
        try:
            tasks.relevel_titles(w.organisation.pk)
        finally:
            connection.close()

    with tenant(w.organisation):
        assert titles.outdated().select_for_update(no_key=True).get(pk=w.organisation.pk)
        worker = Thread(target=second)
        worker.start()
        worker.join(10)
        assert not worker.is_alive()
    assert contacts(w) == {"a": (0, "no office")}
    assert rules_of(w) == "earlier"


# ---- At the same time


@pytest.mark.django_db(transaction=True)
def test_a_contact_written_while_its_title_is_corrected_has_the_corrected_level() -> None:
    w = World()
    w.contact("a", "CSM")

    def arrive() -> None:
        try:
            w.contact("b", "CSM")
        finally:
            connection.close()

    worker = Thread(target=arrive)
    with w.inside():
        titles.correct(w.organisation, "CSM", Level.VP, None, w.clock)
        worker.start()
        _until_somebody_waits()
    worker.join(10)
    assert contacts(w) == dict.fromkeys("ab", (2, "correction"))


@pytest.mark.django_db(transaction=True)
def test_a_correction_waits_for_contacts_that_are_being_written() -> None:
    w = World()
    w.contact("a", "CEO")

    def other() -> None:
        try:
            correct(w, "CSM", Level.VP)
        finally:
            connection.close()

    worker = Thread(target=other)
    with w.inside():
        w.contact("b", "CSM")
        worker.start()
        _until_somebody_waits()
    worker.join(10)
    assert contacts(w)["b"] == (2, "correction")


def _until_somebody_waits() -> None:
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    pytest.fail("nobody waits")


@pytest.mark.django_db
def test_one_title_has_one_correction() -> None:
    w = World()
    w.contact("a", "CSM")
    correct(w, "CSM", Level.VP)
    with pytest.raises(IntegrityError), w.inside():
        TitleCorrection.objects.create(
            organisation=w.organisation, key="csm", title="CSM", level=1, corrected_at=w.clock.now
        )
