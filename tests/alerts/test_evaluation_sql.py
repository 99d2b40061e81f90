"""The statement that judges deals, recorded so that a reviewer sees what a change of the rules does to it.

    RECORD=1 make test ARGS=tests/alerts/test_evaluation_sql.py

writes the files anew. Nothing here says whether the statement is right, the other tests do.
"""

import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import adapt

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import engine
from alerts import settings as alert_settings
from deals import clock
from deals.clock import Clock
from deals.models import Colleague, Deal, Role, Source, Team, TeamMember
from tests.sql import laid_out
from tests.world import NOON

FOLDER = Path(__file__).parent
# Numbers that are written into the statement, the same in every database.
ORGANISATION, OUTBOUND, RENEWALS, DEMO, OFFER, NORTH = 1, 11, 12, 21, 22, 31
HEAD = """\
-- What `engine.statement` makes of {title}.
-- Written by tests/alerts/test_evaluation_sql.py (RECORD=1), compared by it, and never run.
"""


def overridden() -> alert_settings.Draft:
    """Everything that settings can say."""
    rules = alert_settings.defaults()
    rules["stuck_in_stage"]["stages"] = {str(DEMO): 5, str(OFFER): 20}
    rules["key_role"]["roles"] = {"champion": 12, "decision maker": 20}
    override = {
        "name": "Renewals of team North",
        "pipelines": [RENEWALS],
        "teams": [NORTH],
        "rules": {
            "no_activity": {"days": 30},
            "no_meeting": {"enabled": False},
            "key_role": {"roles": {"champion": 5}},
        },
    }
    return {"rules": rules, "overrides": [override], "pipelines": [OUTBOUND, RENEWALS], "business_days": True}


CASES = {
    "evaluation_default": ("the default settings", lambda: None),
    "evaluation_override": (
        "per-stage limits, two roles, an override for one pipeline and one team, two watched pipelines, business days",
        overridden,
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", CASES)
def test_the_statement_is_the_recorded_one(name: str) -> None:
    title, draft = CASES[name]
    organisation = Organisation.objects.create(pk=ORGANISATION, name="Test", time_zone="Europe/Paris", country="FR")
    with tenant(organisation):
        inhabit(organisation)
        deals = Deal.objects.filter(organisation=organisation)
        sql, params = engine.statement(organisation, deals, Clock.of(organisation, NOON), draft=draft())
    told = HEAD.format(title=title) + readable(sql, params)
    path = FOLDER / f"{name}.sql"
    if os.environ.get("RECORD"):
        path.write_text(told, "utf-8")
    assert told == path.read_text("utf-8"), "a reviewer should see this: record it anew with RECORD=1"


def inhabit(organisation: Organisation) -> None:
    """Two roles, and a team of two."""
    source = Source.objects.create(organisation=organisation, provider="hubspot", account_id="1", currency="EUR")
    for key in ("champion", "decision maker"):
        Role.objects.create(organisation=organisation, source=source, key=key, label=key.capitalize())
    team = Team.objects.create(pk=NORTH, organisation=organisation, name="North")
    for pk in (41, 42):
        someone = Colleague.objects.create(pk=pk, organisation=organisation, source=source, external_id=str(pk))
        TeamMember.objects.create(organisation=organisation, team=team, colleague=someone)


def readable(sql: str, params: dict[str, Any]) -> str:
    """The statement one clause a line: numbered parameters as literals, the others as :name, told at the top.

    Shortened: a deal's column has no table, `working_days` is the subselect that gives the calendar.
    """
    named = {name: value for name, value in params.items() if not re.fullmatch(r"[ps]\d+", name)}
    text = sql % {name: f":{name}" if name in named else literal(value) for name, value in params.items()}
    for long, short in ((r'"(\w+)"', r"\1"), (r"\bdeals_deal\.", ""), (re.escape(clock.ARRAY), "working_days")):
        text = re.sub(long, short, text)
    told = [f"-- :{name} = {literal(value)[:100]}" for name, value in named.items()]
    return "\n".join([*told, "", laid_out(text)]) + "\n"


def literal(value: Any) -> str:
    if isinstance(value, date | datetime):
        return f"'{value.isoformat()}'"
    adapted = adapt(value)
    if hasattr(adapted, "encoding"):
        adapted.encoding = "utf-8"
    return adapted.getquoted().decode()


def test_the_layout_adds_and_drops_nothing_but_blanks() -> None:
    said = "".join(engine.DIFFERENCE.split())
    assert "".join(laid_out(engine.DIFFERENCE).split()) == said
    assert max(map(len, laid_out(engine.DIFFERENCE).splitlines())) <= 118
