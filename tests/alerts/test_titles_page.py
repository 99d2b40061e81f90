"""Settings → Job titles: what the organisation's contacts hold, read by every member, corrected by admins."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from alerts import tasks
from alerts.models import Pending
from alerts.titles import reason
from deals import titles
from deals.models import Contact, Person, TitleCorrection
from deals.records import ContactRecord
from deals.seniority import explain
from tests.deals.test_seniority import TABLE
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db
PAGE = "/settings/titles/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def world() -> World:
    return world_now()


def contacts(world: World, *held: str) -> None:
    """One contact a title."""
    world.write(
        contacts=[
            ContactRecord(f"c{n}", f"C{n}", title, (f"c{n}@customer.example",), None, (), world.at(5))
            for n, title in enumerate(held)
        ]
    )


def shown(client: Client, address: str = PAGE) -> list[tuple[str, int, str, str]]:
    """(title, people, level, why) of each row."""
    rows = client.get(address).context["list"].rows
    return [(row.title, row.people, row.level_name, row.why) for row in rows]


def tabs(client: Client, address: str = PAGE) -> dict[str, int]:
    return {tab.label: tab.count for tab in client.get(address).context["list"].tabs}


def test_titles_that_no_rule_matched_come_first_then_those_of_most_people(world: World) -> None:
    contacts(world, "CEO", "CEO", "ceo", "CSM", "Buyer", "buyer", "Directrice générale", "Former CEO", "-", "")
    assert shown(log_in(world)) == [
        ("Buyer", 2, "none", "No rule matched"),
        ("-", 1, "", "Says nothing: taken as no title"),
        ("CSM", 1, "none", "No rule matched"),
        ("CEO", 3, "C-level", "By the rule “CEO”"),
        ("Directrice générale", 1, "C-level", "By the rule “directeur général”"),
        ("Former CEO", 1, "none", "A former office"),
    ]


def test_spellings_that_differ_in_case_and_spaces_are_one_title(world: World) -> None:
    contacts(world, "Head of Sales", "HEAD  OF SALES", " head of\u00a0sales ", "Head of Sales.")
    assert [(title.lower(), people) for title, people, _, _ in shown(log_in(world))] == [
        ("head of sales", 3),
        ("head of sales.", 1),
    ]


def test_people_are_counted_and_not_their_contacts_nor_deleted_ones(world: World) -> None:
    for ref in ("one", "two"):
        world.contact(ref, "CEO", emails=("same@customer.example",))
    world.contact("three", "CEO")
    world.contact("gone", "CEO", deleted=True)
    assert [people for _, people, _, _ in shown(log_in(world))] == [2]


@pytest.mark.parametrize(
    ("title", "why"),
    [
        ("VP Sales", "By the rule “VP”"),
        ("Head of Sales", "By the rule “head of”"),
        ("Deputy CEO", "Deputy or assistant: one level below “CEO”"),
        ("Assistant to the CEO", "Not an office: “assistant to”"),
        ("CEO's wife", "Somebody else's office: “CEO”"),
        ("CTO Engineer", "The acronym is the subject of the job, not an office"),
        ("Chargée de mission auprès du DG", "Not an office: “auprès de”"),
    ],
)
def test_the_rule_that_decided_is_said_in_words(world: World, title: str, why: str) -> None:
    contacts(world, title)
    assert [row[3] for row in shown(log_in(world))] == [why]


def test_every_rule_has_words_in_both_languages() -> None:
    rules = {explain(title).rule for title, _level in TABLE} | {"empty", titles.CORRECTION}
    english = {rule: reason(rule) for rule in rules}
    with translation.override("fr"):
        french = {rule: reason(rule) for rule in rules}
    assert all(english.values())
    assert all(english[rule] != french[rule] for rule in rules)


def test_the_tabs_count_titles_by_level_and_filter_them(world: World) -> None:
    contacts(world, "CEO", "CTO", "VP", "Director", "CSM", "Former CEO")
    client = log_in(world)
    client.post(PAGE, {"title": "cto", "level": "2"})
    assert tabs(client) == {
        "All titles": 6,
        "Not recognised": 1,
        "C-level": 1,
        "VP": 2,
        "Director": 1,
        "No level": 1,
        "Corrected": 1,
    }
    assert [row[0] for row in shown(client, f"{PAGE}?level=vp")] == ["CTO", "VP"]
    assert [row[0] for row in shown(client, f"{PAGE}?level=unknown")] == ["CSM"]
    assert [row[0] for row in shown(client, f"{PAGE}?level=none")] == ["Former CEO"]
    assert [row[0] for row in shown(client, f"{PAGE}?level=corrected")] == ["CTO"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("generale", ["Directrice Générale"]),
        ("GÉNÉRALE direct", ["Directrice Générale"]),
        ("head sales", ["Head of Sales"]),
        ("100%", ["100% CEO"]),
        ("%", ["100% CEO"]),
        ("_", []),
        ("\\", []),
        ("<b>", []),
        ("", ["100% CEO", "Directrice Générale", "Head of Sales"]),
    ],
)
def test_the_search_finds_words_without_case_and_accents(world: World, words: str, found: list[str]) -> None:
    contacts(world, "Directrice Générale", "Head of Sales", "100% CEO")
    client = log_in(world)
    assert [row.title for row in client.get(PAGE, {"q": words}).context["list"].rows] == found
    assert tabs(client, f"{PAGE}?q=head")["All titles"] == 1


def test_pages_of_fifty(world: World) -> None:
    contacts(world, *(f"Job {n}" for n in range(101)))
    client = log_in(world)
    pages = [shown(client, f"{PAGE}?page={n}") for n in (1, 2, 3)]
    assert [len(page) for page in pages] == [50, 50, 1]
    assert len({row[0] for page in pages for row in page}) == 101
    page = client.get(f"{PAGE}?page=2&level=unknown").content.decode()
    assert f'href="{PAGE}?level=unknown"' in page
    assert f'href="{PAGE}?level=unknown&amp;page=3"' in page
    last = client.get(f"{PAGE}?page=9")
    assert last.context["query"].page == 3
    assert "There is no page 9. This is the last one." in last.content.decode()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("?level=nonsense", "There is no level “nonsense”. All titles are shown."),
        ("?level=<b>", "There is no level “&lt;b&gt;”. All titles are shown."),
        ("?page=0", "There is no page “0”. This is the first one."),
        ("?page=x", "There is no page “x”. This is the first one."),
        ("?q=%00CEO", None),
    ],
)
def test_an_address_that_makes_no_sense_is_answered_with_what_was_left_out(
    world: World, address: str, said: str | None
) -> None:
    contacts(world, "CEO")
    answer = log_in(world).get(PAGE + address)
    assert [row.title for row in answer.context["list"].rows] == ["CEO"]
    assert said is None or said in answer.content.decode()


def test_without_titles_the_page_says_where_they_come_from(world: World) -> None:
    client = log_in(world)
    assert "No job titles yet" in client.get(PAGE).content.decode()
    contacts(world, "CEO")
    assert "Every job title is recognised" in client.get(f"{PAGE}?level=unknown").content.decode()
    assert "No job title matches" in client.get(f"{PAGE}?q=zzz").content.decode()
    assert "No job title here" in client.get(f"{PAGE}?level=vp").content.decode()


# ---- Corrections


def test_an_admin_corrects_a_title_for_everybody_who_holds_it(world: World) -> None:
    contacts(world, "CSM", "csm", "Buyer")
    client = log_in(world)
    answer = client.post(f"{PAGE}?level=unknown", {"title": "csm", "level": "1"})
    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}?level=unknown")
    page = client.get(answer["Location"]).content.decode()
    assert "Saved: “CSM” has the level Director." in page or "Saved: “csm” has the level Director." in page
    [row] = shown(client, f"{PAGE}?level=corrected")
    assert row[1:3] == (2, "Director")
    assert row[3].startswith("Corrected by Ana Ruiz on ")
    with world.inside():
        assert sorted(Person.objects.values_list("level", "level_rule")) == [
            (0, "no office"),
            (1, "correction"),
            (1, "correction"),
        ]


def test_a_correction_is_withdrawn(world: World) -> None:
    contacts(world, "CEO")
    client = log_in(world)
    client.post(PAGE, {"title": "CEO", "level": "0"})
    assert [row[2] for row in shown(client)] == ["none"]
    answer = client.post(PAGE, {"title": "CEO", "level": "0", "withdraw": "1"}, follow=True)
    assert "The rules decide on “CEO” again." in answer.content.decode()
    assert shown(client) == [("CEO", 1, "C-level", "By the rule “CEO”")]
    assert "Withdraw" not in client.get(PAGE).content.decode()


def test_a_correction_stays_in_sight_when_nobody_holds_its_title_any_more(world: World) -> None:
    world.contact("ana", "CSM")
    client = log_in(world)
    client.post(PAGE, {"title": "CSM", "level": "1"})
    world.contact("ana", "CEO", updated_at=world.at(1))
    assert [row[:3] for row in shown(client, f"{PAGE}?level=corrected")] == [("CSM", 0, "Director")]
    client.post(PAGE, {"title": "CSM", "withdraw": "1"})
    assert [row[0] for row in shown(client)] == ["CEO"]


def test_a_correction_re_evaluates_the_deals_concerned(world: World) -> None:
    world.contact("ana", "CSM")
    world.on_deal("ana", close_on=world.day(-2))
    world.deal("other", close_on=world.day(-2))
    world.activity("call", 1, "ana")
    assert "power_map" in world.alerts()
    client = log_in(world)
    answer = client.post(PAGE, {"title": "CSM", "level": "3"}, follow=True)
    assert "1 deal is being evaluated again." in answer.content.decode()
    with world.inside():
        assert list(Pending.objects.values_list("deal", flat=True)) == [world.stored().pk]
    tasks.evaluate_changed(world.organisation.pk)
    with world.inside():
        assert not Pending.objects.exists()
    assert world.reasons()[-1][0] == "power_map"
    assert "power_map" not in world.alerts()


def test_the_rest_of_the_row_comes_back_with_htmx(world: World) -> None:
    contacts(world, "CSM")
    client = log_in(world)
    row = client.get(PAGE).context["list"].rows[0]
    answer = client.post(PAGE, {"title": "csm", "level": "2"}, headers=HTMX)
    part = answer.content.decode()
    assert "<html" not in part
    assert re.search(rf'<template><tr id="{row.id}" hx-swap-oob="true">', re.sub(r">\s+<", "><", part))
    assert "Corrected by Ana Ruiz" in part
    assert 'id="tabs"' in part
    assert "Saved: “CSM” has the level VP." in part
    gone = client.post(PAGE, {"title": "csm", "withdraw": "1"}, headers=HTMX).content.decode()
    assert "No rule matched" in gone
    assert "Withdraw" not in gone


def test_the_search_brings_the_list_alone_with_htmx(world: World) -> None:
    contacts(world, "CSM", "CEO")
    answer = log_in(world).get(f"{PAGE}?q=cso", headers={**HTMX, "HX-Trigger": "q"})
    assert "<html" not in answer.content.decode()
    assert answer["HX-Replace-Url"] == f"{PAGE}?q=cso"


def test_members_who_are_no_admins_read_and_cannot_correct(world: World) -> None:
    contacts(world, "CEO")
    client = log_in(world, role="rep", email="bob@vigie.example")
    page = client.get(PAGE).content.decode()
    assert "By the rule “CEO”" in page
    assert "Only admins can change them." in page
    assert "<select" not in page
    assert client.post(PAGE, {"title": "CEO", "level": "0"}).status_code == 403
    with world.inside():
        assert not TitleCorrection.objects.exists()


BAD = [
    ({"title": "CEO", "level": "4"}, "Choose one of the levels in the list. Nothing was saved."),
    ({"title": "CEO", "level": "-1"}, "Choose one of the levels in the list. Nothing was saved."),
    ({"title": "CEO", "level": "director"}, "Choose one of the levels in the list. Nothing was saved."),
    ({"title": "CEO", "level": "٣"}, "Choose one of the levels in the list. Nothing was saved."),
    ({"title": "CEO", "level": ""}, "Choose one of the levels in the list. Nothing was saved."),
    ({"title": "CEO"}, "Choose one of the levels in the list. Nothing was saved."),
    ({"title": "Nobody's", "level": "1"}, "Nobody has the job title “Nobody&#x27;s” in the CRM any more."),
    ({"title": "", "level": "1"}, "Nobody has the job title “” in the CRM any more."),
    ({"level": "1"}, "Nobody has the job title “” in the CRM any more."),
    ({"title": "x" * 5_000, "level": "1"}, f"Nobody has the job title “{'x' * 80}” in the CRM any more."),
    ({"title": "<script>", "level": "1"}, "Nobody has the job title “&lt;script&gt;” in the CRM any more."),
    ({"title": "C\x00", "level": "1"}, "Nobody has the job title “C"),
]


@pytest.mark.parametrize(("data", "said"), BAD)
def test_what_cannot_be_saved_is_answered_with_why(world: World, data: dict[str, str], said: str) -> None:
    contacts(world, "CEO")
    client = log_in(world)
    answer = client.post(PAGE, data)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    again = client.post(PAGE, data, headers=HTMX)
    assert again["HX-Refresh"] == "true"
    assert said in client.get(PAGE).content.decode()
    with world.inside():
        assert not TitleCorrection.objects.exists()


def test_a_very_long_title_is_shown_short_and_can_be_corrected(world: World) -> None:
    long = "Directrice " + "très " * 1_000 + "longue"
    contacts(world, long, long + "!", f"<b>{'&' * 300}</b>")
    client = log_in(world)
    page = client.get(PAGE)
    assert len(page.content) < 30_000
    assert "<b>" not in page.content.decode()
    row = next(row for row in page.context["list"].rows if row.level == 1)
    assert client.post(PAGE, {"title": row.key, "level": "3"}).status_code == 302
    with world.inside():
        assert Contact.objects.filter(level=3).count() == 1


def test_titles_of_another_organisation_are_neither_shown_nor_corrected(world: World) -> None:
    other = world_now()
    contacts(other, "CSM")
    client = log_in(world)
    assert shown(client) == []
    assert client.post(PAGE, {"title": "CSM", "level": "1"}).status_code == 422
    with other.inside():
        assert Contact.objects.get(job_title="CSM").level == 0


def test_while_a_release_reads_the_titles_anew_the_page_says_so(world: World) -> None:
    contacts(world, "CEO")
    client = log_in(world)
    assert "Job titles are being read anew" in client.get(PAGE).content.decode()
    tasks.relevel_titles(world.organisation.pk)
    assert "Job titles are being read anew" not in client.get(PAGE).content.decode()


def test_the_page_asks_as_many_statements_for_one_title_as_for_ten_thousand(
    world: World, django_assert_num_queries
) -> None:
    contacts(world, "CEO")
    client = log_in(world)
    with CaptureQueriesContext(
        connection,
    ) as one:
        client.get(PAGE)
    with world.inside(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO deals_contact (organisation_id, source_id, external_id, company_ref, name, job_title, "
            "title_key, level, level_rule, emails, roles, updated_at, deleted) SELECT %s, %s, 'n' || n, '', '', "
            "'Job ' || n, 'job ' || n, 0, 'no office', '{}', '{}', now(), false FROM generate_series(2, 10000) n",
            [world.organisation.pk, world.source.pk],
        )
    with django_assert_num_queries(len(one)):
        assert client.get(PAGE).context["list"].count == 10_000


def test_french(world: World) -> None:
    contacts(world, "CEO", "CSM")
    client = log_in(world, language="fr")
    assert [row[3] for row in shown(client)] == ["Aucune règle ne correspond", "Selon la règle «\u00a0CEO\u00a0»"]
    answer = client.post(PAGE, {"title": "CSM", "level": "1"}, follow=True)
    assert "Enregistré\u00a0: «\u00a0CSM\u00a0» a le niveau Directeur." in answer.content.decode()
