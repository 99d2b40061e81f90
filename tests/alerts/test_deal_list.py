"""The deal list: rows, tabs, facets whose counts leave their own facet out, sums per currency, order, pages."""

import gzip
import re
from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import unescape
from random import Random
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.models import User
from alerts.deal_query import BITS, SORTS, VIEWS, DealQuery
from alerts.facets import Facet, companies_of
from alerts.formats import money
from alerts.listing import DealList, DealPages, deal_list, menu
from alerts.models import SavedView
from alerts.reader import Reader
from alerts.rules import COUNT_SHIFT, RULES
from config import icons
from deals.models import Deal, Pipeline, Team, TeamMember
from deals.records import (
    ColleagueRecord,
    CompanyRecord,
    DealContactRecord,
    ParticipantRecord,
    PipelineRecord,
    RoleRecord,
    StageRecord,
)
from tests.pages import log_in, scripted, world_now
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    """Quiet (no activity for 30 days), late (close date passed, in USD), bare (no owner, stage, amount), and fine."""
    world = world_now()
    world.write(companies=[CompanyRecord("acme", "Acme Énergie", world.at(9))])
    world.contact("zoe")
    world.deal("quiet", title="Quiet", company="acme", created_at=world.at(30), stage_entered_at=world.at(2))
    world.deal("late", title="Late", amount=Decimal("250.50"), currency="USD", close_on=world.day(3), stage="s2")
    world.deal("fine", title="Fine", amount=Decimal(9000))
    world.deal("bare", title="Bare", amount=None, owner=None, stage=None, close_on=None)
    world.deal("won", title="Won", status="won")
    for ref in ("quiet", "late", "fine", "bare"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
    world.evaluate()
    return world


def get(client: Client, query: str = "") -> DealList:
    answer = client.get(f"/deals/?{query}")
    assert answer.status_code == 200
    found: DealList = answer.context["list"]
    return found


def titles(found: DealList) -> list[str]:
    return [row.deal.title for row in found.rows]


def counts(facet: Facet) -> dict[str, int]:
    return {option.label: option.count for option in facet.options if option.count}


def test_riskiest_first_closed_deals_left_out(world: World) -> None:
    assert titles(get(log_in(world))) == ["Late", "Quiet", "Bare", "Fine"]


def test_tabs_count_all_open_deals_whatever_the_filters(world: World) -> None:
    client = log_in(world)
    for query in ("", "alert=no_activity", "q=fine"):
        assert [(tab.label, tab.count) for tab in get(client, query).tabs] == [
            ("All open deals", 4),
            ("At risk", 3),
            ("No alert", 1),
        ]
    assert titles(get(client, "view=clear")) == ["Fine"]
    assert titles(get(client, "view=risk")) == ["Late", "Quiet", "Bare"]


def test_my_deals_are_those_of_the_colleague_with_my_address(world: World) -> None:
    world.write(colleagues=[ColleagueRecord("me", "Ana", "ANA@vigie.example", True)])
    found = get(log_in(world), "view=mine")
    assert sorted(titles(found)) == ["Fine", "Late", "Quiet"]
    assert ("My deals", 3) in [(tab.label, tab.count) for tab in found.tabs]


def test_a_facet_is_or_inside_and_between_facets(world: World) -> None:
    client = log_in(world)
    assert titles(get(client, "alert=no_activity&alert=close_date_passed")) == ["Late", "Quiet"]
    offer = str(world.stored("late").stage_id)
    assert titles(get(client, f"alert=no_activity&alert=close_date_passed&stage={offer}")) == ["Late"]
    assert titles(get(client, "owner=none")) == ["Bare"]
    assert titles(get(client, "stage=none&alert=amount_empty")) == ["Bare"]


def test_counts_beside_options_leave_their_own_facet_out(world: World) -> None:
    found = get(log_in(world), "alert=no_activity")
    alert, owner, stage, amount, close, company = found.facets
    assert counts(alert) == {
        "No activity": 1,
        "No decision maker engaged": 1,
        "Close date passed": 1,
        "Amount empty": 1,
    }
    assert counts(owner) == {"Moi": 1}
    assert counts(stage) == {"Demo": 1}
    assert [option.count for option in owner.options] == [1, 0]  # nobody's deals stay on offer, with a zero
    assert counts(amount) == {"Up to €10,000": 1}
    assert counts(close) == {"Later": 1}
    assert counts(company) == {}  # asked for when it is opened


def test_sums_are_per_currency_and_never_across(world: World) -> None:
    client = log_in(world)
    assert [(total.currency, total.amount, total.at_risk) for total in get(client).totals] == [
        ("EUR", Decimal(10000), Decimal(1000)),
        ("USD", Decimal("250.50"), Decimal("250.50")),
    ]
    page = client.get("/deals/").content.decode()
    with translation.override("en"):
        assert money(Decimal(10000), "EUR") in page
        assert money(Decimal("250.50"), "USD") in page
    assert "10,250" not in page


def test_french_amounts_and_dates(world: World) -> None:
    page = log_in(world, language="fr").get("/deals/").content.decode()
    with translation.override("fr"):
        assert money(Decimal(10000), "EUR") in page
    assert "10\u202f000\u00a0€" in page
    assert "Tous les deals ouverts" in page
    assert "jamais" in page


def test_search_finds_title_and_company_in_any_case(world: World) -> None:
    client = log_in(world)
    assert titles(get(client, "q=LATE")) == ["Late"]
    assert titles(get(client, "q=acme+quiet")) == ["Quiet"]
    assert titles(get(client, "q=100%25")) == []
    assert titles(get(client, "q=%27%3B--")) == []


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-amount", ["Fine", "Quiet", "Late", "Bare"]),  # no rate for Late's dollars: it has no value
        ("amount", ["Quiet", "Fine", "Late", "Bare"]),
        ("close", ["Late", "Quiet", "Fine", "Bare"]),
    ],
)
def test_sorting_leaves_empty_values_last(world: World, sort: str, expected: list[str]) -> None:
    client = log_in(world)
    assert titles(get(client, f"sort={sort}")) == expected
    page = client.get(f"/deals/?sort={sort}").content.decode()
    assert page.count("aria-sort=") == 1


def test_unknown_parts_of_the_address_are_said_and_ignored(world: World) -> None:
    client = log_in(world)
    for query in ("alert=nonsense", "owner=424242", "stage=424242", "page=77", "sort=x", "view=x"):
        answer = client.get(f"/deals/?{query}")
        assert answer.status_code == 200
        assert titles(answer.context["list"]) == ["Late", "Quiet", "Bare", "Fine"]
        assert 'class="refused"' in answer.content.decode()


def test_nothing_matches_offers_the_way_back(world: World) -> None:
    page = log_in(world).get("/deals/?q=zzz").content.decode()
    assert "No deal matches" in page
    assert 'href="/deals/"' in page


def test_hover_card_tells_what_since_when_and_what_to_do(world: World) -> None:
    page = log_in(world).get("/deals/?q=quiet").content.decode()
    pk = world.stored("quiet").pk
    assert f'popovertarget="card-{pk}"' in page
    assert f'id="card-{pk}" popover' in page
    assert page.count(f'id="card-{pk}"') == 1
    assert "No interaction since the deal was created" in page
    assert "30 days ago" in page
    assert "limit: 10\u00a0days" in page
    assert "Call or write today, or close the deal." in page
    assert "Acme Énergie: 1 alert, No activity" in page


def test_unanswered_calls_are_counted_in_the_evidence(world: World) -> None:
    other = ParticipantRecord("other", contact="zoe")
    world.activity("call", 4, other, deal="quiet", state="attempt")
    world.activity("call", 2, other, deal="quiet", state="attempt")
    world.evaluate()
    assert "2 unanswered calls since." in log_in(world).get("/deals/?q=quiet").content.decode()


def test_past_five_icons_the_rest_is_a_number(world: World) -> None:
    many = {"created_at": world.at(80), "stage_entered_at": world.at(60), "close_on": world.day(3), "amount": None}
    world.deal("many", title="Many", **many)
    world.evaluate()
    [row] = get(log_in(world), "q=many").rows
    kinds = {alert.kind for alert in row.alerts}
    assert len(kinds) > 5
    assert len(row.badges) == 5
    assert row.more == len(kinds) - 5


def test_one_icon_for_a_kind_with_several_roles(world: World) -> None:
    world.write(roles=[RoleRecord("Champion"), RoleRecord("Decision maker")])
    world.contact("yan", roles=("Champion", "Decision maker"))
    world.on_deal("yan", ref="roles", title="Roles", created_at=world.at(20), stage_entered_at=world.at(1))
    world.configure(key_role={"roles": {"champion": 12, "decision maker": 12, "decisionmaker": 12}})
    world.evaluate()
    [row] = get(log_in(world), "q=roles").rows
    roles = [alert.title for alert in row.alerts if alert.kind == "key_role"]
    assert roles == ["Key role silent: Champion", "Key role silent: Decision maker"]
    assert [badge.kind for badge in row.badges].count("key_role") == 1


def test_html_from_the_crm_is_text(world: World) -> None:
    world.deal("evil", title="<script>alert(1)</script>", currency="<b>")
    world.evaluate()
    page = log_in(world).get("/deals/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "1,000 &lt;b&gt;" in page


def test_very_long_and_right_to_left_titles_are_shown(world: World) -> None:
    world.deal("long", title="ש" * 10_000)
    assert log_in(world).get("/deals/").status_code == 200


def test_htmx_gets_the_list_alone_and_the_canonical_address(world: World) -> None:
    client = log_in(world)
    part = client.get("/deals/?q=&alert=no_activity&page=1", headers={"HX-Request": "true"})
    assert part["HX-Push-Url"] == "/deals/?alert=no_activity"
    assert "<html" not in part.content.decode()
    assert part.content.decode().strip().startswith('<div id="list"')
    assert "HX-Request" in part["Vary"]
    whole = client.get("/deals/", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in whole.content.decode()


def test_pages_of_fifty_with_addresses(world: World) -> None:
    more = world.deal("more")
    world.write(deals=[replace(more, external_id=f"more{n}") for n in range(54)])
    client = log_in(world)
    first, second = get(client), get(client, "page=2")
    assert (len(first.rows), len(second.rows), first.pages) == (50, 9, 2)
    assert first.next == "/deals/?page=2"
    assert second.previous == "/deals/?view=open"
    assert not {row.deal.pk for row in first.rows} & {row.deal.pk for row in second.rows}


# The last one ends the tenant of a transaction inside another, as there is only in tests.
TRANSACTION = "SAVEPOINT|RELEASE|BEGIN|COMMIT|SELECT set_config"


def statements(client: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return len([q for q in captured.captured_queries if not re.match(TRANSACTION, q["sql"])])


def test_at_most_twelve_statements_for_1_3_and_50_rows(world: World) -> None:
    client = log_in(world, role="manager")  # an admin is also told of the set-up, until it is over
    client.get("/deals/")
    world.activity("call", 12, "zoe", deal="quiet")
    world.evaluate()
    one = statements(client, "/deals/?q=quiet")
    three = statements(client, "/deals/?view=risk")
    more = world.deal("more", created_at=world.at(30), stage_entered_at=world.at(1))
    world.write(deals=[replace(more, external_id=f"more{n}") for n in range(60)])
    world.activity("call", 15, "zoe", deals=tuple(f"more{n}" for n in range(60)))
    world.evaluate()
    fifty = statements(client, "/deals/")
    assert one == three == fifty
    assert fifty <= 12


def test_with_scripts_a_page_takes_as_few_statements_and_tells_the_evidence_when_it_is_asked(world: World) -> None:
    world.write(roles=[RoleRecord("Champion")])
    world.contact("yan", roles=("Champion",))
    quiet = {"created_at": world.at(30), "stage_entered_at": world.at(1)}
    world.on_deal("yan", ref="roles", title="Roles", **quiet)
    world.configure(key_role={"roles": {"champion": 12}})
    world.activity("call", 4, ParticipantRecord("other", contact="zoe"), deal="quiet", state="attempt")
    world.evaluate()
    client = scripted(world, role="manager")
    client.get("/deals/")
    one, three = statements(client, "/deals/?q=roles"), statements(client, "/deals/?view=risk")
    assert one == three <= 12
    page = client.get("/deals/?view=risk").content.decode()
    assert "Key role silent: Champion" in page
    assert "No interaction since the deal was created" not in page
    wanted = unescape(re.search(r'hx-get="(/deals/details/[^"]+)"', page)[1])
    assert statements(client, wanted) <= 12
    details = client.get(wanted).content.decode()
    pk = world.stored("quiet").pk
    assert f'<ul id="of-{pk}" hx-swap-oob="true">' in details
    assert "No interaction since the deal was created" in details
    assert "1 unanswered call since." in details
    other = scripted(world_now(), email="bob@elsewhere.example")
    assert "<ul" not in other.get(wanted).content.decode()


@pytest.mark.parametrize("deals", ["", "x", "0", "9" * 30, "-1"])
def test_details_of_what_is_no_deal_are_none(world: World, deals: str) -> None:
    answer = scripted(world).get(f"/deals/details/?deal={deals}&view=nonsense")
    assert (answer.status_code, answer.content.strip()) == (200, b"")


def test_a_menu_that_is_not_open_carries_its_choices_and_asks_for_its_options(world: World) -> None:
    client = scripted(world)
    page = client.get("/deals/?owner=none&amount_from=5&alert=amount_empty&match=all").content.decode()
    for name, value in {"owner": "none", "amount_from": "5", "alert": "amount_empty", "match": "all"}.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in page
    assert 'type="checkbox" name="owner"' not in page
    wanted = unescape(re.search(r'hx-get="(/deals/facets/owner/[^"]+)"', page)[1])
    options = client.get(wanted).content.decode()
    assert 'name="owner" value="none" id="owner-none" checked' in options
    part = client.get("/deals/?owner=none", headers={"HX-Request": "true", "Vigie-Menu": "owner"}).content.decode()
    assert 'name="owner" value="none" id="owner-none" checked' in part
    assert part.count('type="checkbox" name="stage"') == 0
    assert client.get("/deals/facets/nonsense/").status_code == 404
    assert client.get("/deals/facets/team/").status_code == 404  # there is none


def test_without_scripts_all_of_it_is_told_at_once(world: World) -> None:
    client = log_in(world)
    whole = client.get("/deals/?view=open").content.decode()
    assert 'type="checkbox" name="owner"' in whole
    assert "No interaction since the deal was created" in whole
    assert "/deals/details/" not in whole
    client.cookies["script"] = "1"  # and then scripts were switched off
    assert "whole=1" in client.get("/deals/?view=open").content.decode()
    assert "/deals/details/" not in client.get("/deals/?view=open&whole=1").content.decode()


def test_a_deals_address_keeps_what_stands_before_it() -> None:
    assert DealPages("/team0/deals/0/", "list=view%3Dopen").of(7) == "/team0/deals/7/?list=view%3Dopen"


def test_another_organisation_sees_none_of_it(world: World) -> None:
    other = world_now()
    client = log_in(other, email="bob@elsewhere.example")
    assert get(client).rows == []
    assert get(client, f"owner={world.stored('fine').owner_id}").rows == []


def test_nothing_connected_says_what_to_do() -> None:
    world = world_now()
    assert "Connect your CRM to see your deals" in log_in(world).get("/deals/").content.decode()
    rep = log_in(world, role="rep", email="bob@vigie.example").get("/deals/").content.decode()
    assert "An admin of your organisation has to connect your CRM first." in rep


def test_the_list_leaves_out_pipelines_that_are_not_watched(world: World) -> None:
    world.write(pipelines=[PipelineRecord("q", "Renewals", 2)], stages=[StageRecord("q1", "q", "Talk", 1)])
    world.deal("other", title="Elsewhere", pipeline="q", stage="q1")
    client = log_in(world)
    assert "Elsewhere" in client.get("/deals/").content.decode()
    with world.inside():
        watched = [Pipeline.objects.get(external_id="p").pk]
    world.configure(pipelines=watched)
    assert "Elsewhere" not in client.get("/deals/").content.decode()


def test_search_finds_parts_of_the_names_of_deal_company_and_contacts(world: World) -> None:
    world.contact("zoé-marie")
    world.deal("fine", title="Fine", amount=Decimal(9000), contacts=(DealContactRecord("zoé-marie"),))
    client = log_in(world)
    for words, found in {
        "acme": ["Quiet"],
        "ENERGIE": ["Quiet"],
        "nergi qui": ["Quiet"],
        "zoe": ["Fine"],
        "Marie FIN": ["Fine"],
        "zoe late": [],
        "\u0301": [],  # an accent on nothing
        "won": [],
    }.items():
        assert titles(get(client, urlencode({"q": words}))) == found, words


KEYS = {
    "owner": ["a", "b", "c", None],
    "pipeline": ["p", "q", None],
    "stage": ["s1", "s2", None],
    "currency": ["EUR", "USD", ""],
}
AMOUNTS = [None, Decimal(0), Decimal("99.5"), Decimal(10_000), Decimal(70_000), Decimal(100_000)]


TEAMS = {"North": ["a"], "South": ["a", "b"], "Empty": []}


@pytest.fixture
def crowd() -> tuple[World, list[Deal]]:
    """A hundred deals of every sort, and as they are stored. Their alert masks are any: the list only reads them."""
    world, chance = World(), Random(5)
    people = [
        ColleagueRecord("a", "Ana", "ana@vigie.example", True),
        ColleagueRecord("b", "Bob", "b@vigie.example", True),
        ColleagueRecord("c", "Cy", "c@vigie.example", True),
    ]
    acme, beta = CompanyRecord("acme", "Acme Énergie", world.at(9)), CompanyRecord("beta", "Beta", world.at(9))
    world.write(colleagues=people, companies=[acme, beta], pipelines=[PipelineRecord("q", "Renewals", 2)])
    with world.inside():
        for name, refs in TEAMS.items():
            team = Team.objects.create(organisation=world.organisation, name=name)
            for colleague in world.organisation.colleagues.filter(external_id__in=refs):
                TeamMember.objects.create(organisation=world.organisation, team=team, colleague=colleague)
    days = [world.day(n) for n in (400, 40, 3, 1, 0, -1, -9, -35, -70, -200)]
    model = world.deal("model", status="lost")
    world.write(
        deals=[
            replace(
                model,
                external_id=f"n{n}",
                title=chance.choice(["Alpha", "Bêta", "gamma alpha"]),
                company=chance.choice(["acme", "beta", None]),
                status=chance.choice(["open", "open", "open", "won"]),
                archived=chance.random() < 0.1,
                amount=chance.choice(AMOUNTS),
                close_on=chance.choice([None, *days]),
                **{name: chance.choice(choices) for name, choices in KEYS.items()},
            )
            for n in range(100)
        ]
    )
    with world.inside():
        deals = list(Deal.objects.filter(organisation=world.organisation))
        for deal in deals:
            kinds = [rule for rule in RULES if chance.random() < 0.25]
            deal.alert_mask = sum(1 << rule.bit for rule in kinds) + (len(kinds) << COUNT_SHIFT)
        Deal.objects.bulk_update(deals, ["alert_mask"])
        return world, list(
            Deal.objects.filter(organisation=world.organisation).open().select_related("owner", "company")
        )


# Up to but without the second.
BOUNDS = {"under-10k": (-1, 10_000), "10k-50k": (10_000, 50_000), "50k-100k": (50_000, 100_000)}
SPANS = {  # on 22 November 2026
    "overdue": (date.min, date(2026, 11, 22)),
    "this_month": (date(2026, 11, 1), date(2026, 12, 1)),
    "next_month": (date(2026, 12, 1), date(2027, 1, 1)),
    "this_quarter": (date(2026, 10, 1), date(2027, 1, 1)),
    "later": (date(2027, 1, 1), date.max),
}


def has(deal: Deal, teams: dict[str, str]) -> dict[str, set[str]]:
    """Which options of each facet the deal is counted beside, in plain words and without a database."""
    found = {name: {str(getattr(deal, f"{name}_id") or "none")} for name in ("owner", "pipeline", "stage", "company")}
    found["alert"] = {kind for kind, bit in BITS.items() if deal.alert_mask & bit}
    mine = {teams[name] for name, refs in TEAMS.items() if deal.owner and deal.owner.external_id in refs}
    found["team"] = mine or {"none"}
    found["amount"] = {"none"} if deal.amount is None else set()
    if deal.value is not None:
        found["amount"] = {name for name, (start, end) in BOUNDS.items() if start <= deal.value < end} or {"over-100k"}
    day = deal.close_on
    found["close"] = {name for name, (start, end) in SPANS.items() if start <= day < end} if day else {"none"}
    return found


def matches(deal: Deal, options: dict[str, set[str]], query: DealQuery, without: str = "") -> bool:
    def passes(name: str) -> bool:
        chosen = set(getattr(query, name))
        if name == "alert" and query.match == "all":
            return chosen <= options[name]
        if name == "amount" and query.amount_from is not None and deal.value is not None:
            return bool(chosen & options[name]) or deal.value >= query.amount_from
        if name == "close" and query.close_to is not None and deal.close_on is not None:
            return bool(chosen & options[name]) or deal.close_on <= query.close_to
        bounded = (name == "amount" and query.amount_from) or (name == "close" and query.close_to)
        return bool(chosen & options[name]) or not (chosen or bounded)

    names = [deal.title, deal.company.name if deal.company else ""]
    plain = " ".join(names).lower().replace("é", "e").replace("ê", "e")
    view = {
        "open": True,
        "risk": deal.alert_mask > 0,
        "clear": deal.alert_mask == 0,
        "mine": deal.owner is not None and deal.owner.email == "ana@vigie.example",
    }[query.view]
    words = all(word in plain for word in query.q.lower().split())
    return view and words and all(passes(name) for name in options if name != without)


def test_every_combination_of_filters_counts_what_one_deal_at_a_time_counts(crowd: tuple[World, list[Deal]]) -> None:
    world, deals = crowd
    chance = Random(7)
    with world.inside():
        teams = {team.name: str(team.pk) for team in world.organisation.teams.all()}
        reader = Reader.of(world.organisation, User.objects.create_user("ana@vigie.example"), world.clock)
    known = {deal.pk: has(deal, teams) for deal in deals}
    values = {name: sorted(set().union(*(options[name] for options in known.values()))) for name in known[deals[0].pk]}

    def some(name: str) -> tuple[str, ...]:
        return tuple(sorted(chance.sample(values[name], min(len(values[name]), chance.choice([0, 0, 0, 0, 1, 2])))))

    for _ in range(80):
        query = DealQuery(
            view=chance.choice([view for view in VIEWS if view != "snoozed"]),
            match=chance.choice(["any", "all"]),
            amount_from=chance.choice([None, None, None, Decimal(60_000)]),
            close_to=chance.choice([None, None, None, world.day(-35)]),
            q=chance.choice(["", "", "alpha", "BETA", "acme alp", "zzz"]),
            sort=chance.choice(["", "-"]) + chance.choice(list(SORTS)),
            **{name: some(name) for name in values},
        )
        with world.inside():
            found = deal_list(reader, query, world.clock)
        assert found.query.refused == ()
        expected = [deal for deal in deals if matches(deal, known[deal.pk], query)]
        assert {row.deal.pk for row in found.rows} <= {deal.pk for deal in expected}
        assert (found.count, len(found.rows)) == (len(expected), min(50, len(expected))), query
        assert found.count_at_risk == sum(deal.alert_mask > 0 for deal in expected)
        assert {t.currency: (t.amount, t.at_risk) for t in found.totals} == {
            currency: (
                sum(d.amount or 0 for d in expected if d.currency == currency),
                sum(d.amount or 0 for d in expected if d.currency == currency and d.alert_mask > 0),
            )
            for currency in {d.currency for d in expected}
        }
        asked = chance.choice(found.facets)
        with world.inside():
            assert menu(reader, query, asked.name) == asked or asked.name == "company"
            brief = deal_list(reader, query, world.clock, menus=[asked.name])
        assert [row.deal.pk for row in brief.rows] == [row.deal.pk for row in found.rows]
        assert [[alert.kind for alert in row.alerts] for row in brief.rows] == [
            [alert.kind for alert in row.alerts] for row in found.rows
        ]
        assert (brief.totals, brief.tabs, brief.chips) == (found.totals, found.tabs, found.chips)
        told = {facet.name: facet.groups for facet in brief.facets}
        assert {name for name, groups in told.items() if groups is not None} == {asked.name}
        for facet in found.facets:
            rest = [deal for deal in deals if matches(deal, known[deal.pk], query, without=facet.name)]
            if facet.name == "alert" and query.match == "all":  # what would be left with one more
                rest = [deal for deal in rest if set(query.alert) <= known[deal.pk]["alert"]]
            for option in facet.options:
                holds = sum(option.value in known[deal.pk][facet.name] for deal in rest)
                assert option.count == holds, (query, facet.name, option)
        assert [tab.count for tab in found.tabs][:3] == [
            len(deals),
            sum(deal.alert_mask > 0 for deal in deals),
            sum(deal.alert_mask == 0 for deal in deals),
        ]
        with world.inside():
            companies = companies_of(world.organisation.deals.open(), query, reader, "")
        rest = [deal for deal in deals if matches(deal, known[deal.pk], query, without="company") and deal.company]
        assert {each.value: each.count for each in companies} == Counter(str(deal.company_id) for deal in rest)


def test_the_search_and_the_counts_read_nothing_but_the_index(crowd: tuple[World, list[Deal]]) -> None:
    if connection.pg_version < 180000:
        pytest.skip("that a table has been vacuumed can be told from PostgreSQL 18 on")
    world, _deals = crowd
    with world.inside(), CaptureQueriesContext(connection) as captured:
        reader = Reader.of(world.organisation, User.objects.create_user("ana@vigie.example"), world.clock)
        # Without a company: its deals are few, and found by their own index.
        asked = "q=alpha&view=risk&team=none&amount=over-100k&amount_from=5&close=later&close_to=2027-01-01"
        SavedView.objects.create(
            organisation=world.organisation, user=reader.user, name="x", query=asked, created_at=world.clock.now
        )
        reader = Reader.of(world.organisation, reader.user, world.clock)
        deal_list(reader, DealQuery.parse(QueryDict(asked)), world.clock)
    counting = [q["sql"] for q in captured.captured_queries if "at_risk" in q["sql"] or "jsonb_agg(x)" in q["sql"]]
    plans = []
    with world.inside(), connection.cursor() as cursor:
        # As for many deals, where it costs something to look at those that are not open, and after a VACUUM.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; ANALYZE deals_deal")
        cursor.execute(
            "SELECT pg_restore_relation_stats('schemaname', 'public', 'relname', 'deals_deal', 'relallvisible', 1000)"
        )
        for sql in counting:
            cursor.execute("EXPLAIN " + sql.replace("%", "%%"), [])
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
    sums, counts = plans
    # Snoozed deals, which are few, and stages that were deleted are looked up.
    covered = re.compile("Index Only Scan using deal_(list|counts) ")
    assert len(covered.findall(sums)) >= 1, sums
    # One for alerts, for places, for amounts, for close dates, and for all saved views.
    assert len(covered.findall(counts)) == 5, counts
    assert "Seq Scan on deals_deal " not in counts


def test_the_first_load_of_fifty_rows_is_small(world: World) -> None:
    many = {"created_at": world.at(80), "stage_entered_at": world.at(60), "close_on": world.day(3), "amount": None}
    model = world.deal("more", **many)
    world.write(deals=[replace(model, external_id=f"more{n}", title=f"Deal {n}") for n in range(60)])
    world.evaluate()
    answer = log_in(world).get("/deals/", headers={"accept-encoding": "gzip"})
    page = gzip.decompress(answer.content).decode()
    assert page.count("<tr>") == 51
    files = {part.split('"')[0] for part in re.split('(?:href|src)="/static/', page)[1:]}
    assert len(files) >= 4
    sizes = [len(gzip.compress((settings.STATIC_ROOT / name).read_bytes())) for name in files]
    sprite = len(gzip.compress(icons.sprite()))
    assert len(answer.content) <= 30_000
    assert len(answer.content) + sum(sizes) + sprite <= 65_000
