"""The export: what is filtered and sorted, as spreadsheets read it, streamed in pieces, and never a formula."""

import csv
from dataclasses import replace
from decimal import Decimal
from io import StringIO

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from alerts.deal_query import DealQuery
from alerts.export import BOM, Export, safe
from alerts.reader import Reader
from deals.records import CompanyRecord
from tests.pages import log_in, world_now
from tests.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = world_now()
    world.write(companies=[CompanyRecord("acme", "Acme; Énergie", world.at(9))])
    world.contact("zoe")
    world.deal("quiet", title="Quiet", company="acme", created_at=world.at(30), stage_entered_at=world.at(2))
    world.deal("fine", title="Fine", amount=Decimal("1234.50"), close_on=None)
    world.deal("won", title="Won", status="won")
    for ref in ("quiet", "fine"):
        world.activity("meeting", -3, "zoe", deal=ref, state="planned")
    world.evaluate()
    return world


def export(client: Client, query: str = "") -> str:
    answer = client.get(f"/deals/export/?{query}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="deals-')
    return b"".join(answer.streaming_content).decode()


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    assert text.startswith(BOM)
    return list(csv.DictReader(StringIO(text.removeprefix(BOM)), delimiter=delimiter))


def test_exactly_what_is_filtered_in_the_order_of_the_list(world: World) -> None:
    client = log_in(world)
    assert [row["Deal"] for row in rows(export(client, "sort=amount"))] == ["Quiet", "Fine"]
    assert [row["Deal"] for row in rows(export(client, "sort=-amount"))] == ["Fine", "Quiet"]
    assert [row["Deal"] for row in rows(export(client, "alert=no_activity&page=9"))] == ["Quiet"]
    assert rows(export(client, "q=nothing")) == []


def test_a_row_has_what_the_list_shows_and_the_evidence_of_each_alert(world: World) -> None:
    [row] = rows(export(log_in(world), "q=quiet"))
    since = world.day(20).isoformat()
    assert row["No activity"].startswith(f"{since}: No interaction since the deal was created")
    assert (row["Company"], row["Amount"], row["Currency"], row["Owner"]) == ("Acme; Énergie", "1000.00", "EUR", "Moi")
    assert row["Close date"] == world.day(-90).isoformat()
    assert row["Amount empty"] == ""


def test_french_spreadsheets_get_semicolons_and_decimal_commas(world: World) -> None:
    [row] = rows(export(log_in(world, language="fr"), "q=fine"), ";")
    assert row["Montant"] == "1234,50"
    assert row["Propriétaire"] == "Moi"
    assert row["Date de clôture"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_name_is_a_formula(start: str) -> None:
    assert safe(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"
    assert safe(f"a{start}b") == f"a{start}b"


def test_hostile_names_reach_the_file_as_text(world: World) -> None:
    hostile = '=HYPERLINK("https://evil.example","x")'
    world.write(companies=[CompanyRecord("evil", "@SUM(A1:A9)", world.at(9))])
    world.deal("evil", title=hostile, company="evil", currency="=1")
    world.deal("lines", title='"a"\r\n=1+1;,', amount=Decimal("-5"))
    world.deal("long", title="ש" * 10_000 + "🚀")
    found = {row["Deal"]: row for row in rows(export(log_in(world)))}
    evil = found[f"'{hostile}"]
    assert (evil["Company"], evil["Currency"]) == ("'@SUM(A1:A9)", "'=1")
    assert found['"a"\r\n=1+1;,']["Amount"] == "-5.00"  # a number
    assert "ש" * 10_000 + "🚀" in found
    assert all(len(row) == len(evil) for row in found.values())


def test_pieces_take_the_same_statements_each_and_the_first_comes_before_the_last_is_read(world: World) -> None:
    model = world.deal("more", created_at=world.at(30), stage_entered_at=world.at(1))
    world.write(deals=[replace(model, external_id=f"more{n}") for n in range(11)])
    world.evaluate()
    with world.inside():
        reader = Reader.of(world.organisation, User.objects.create_user("x@vigie.example"), world.clock)
    lines = Export.of_query(reader, DealQuery(view="risk"), world.clock).lines("en", chunk=4)
    assert next(lines).startswith(BOM + "Company,")
    taken = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as captured:
            piece = next(lines)
        assert piece.count("\r\n") == 4 or len(taken) == 2
        taken.append(len(captured))
    assert taken[1] == taken[2]
    lines.close()


def test_another_organisation_gets_none_of_it(world: World) -> None:
    other = world_now()
    client = log_in(other, email="bob@elsewhere.example")
    assert rows(export(client)) == []
    assert rows(export(client, f"owner={world.stored('fine').owner_id}")) == []


def test_strangers_are_led_to_the_login(world: World) -> None:
    assert Client().get("/deals/export/").status_code == 302
