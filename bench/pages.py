"""The deal list and a deal as a member asks for them: middleware, statements and template, without the network."""

import gc
import re
from html import unescape
from statistics import median
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, User
from accounts.tenancy import tenant
from alerts.listing import VIEWS_COUNTED
from alerts.models import SavedView
from bench.dataset import FIRST_ID, Dataset
from bench.measure import execute, fetch, p95, report, scan_floor, seconds, serial

PATHS = {
    "all": "/deals/?view=open",
    "at risk": "/deals/?view=risk",
    "no alert": "/deals/?view=clear",
    "mine": "/deals/?view=mine",
    "one alert": "/deals/?alert=no_activity",
    "three alerts": "/deals/?alert=key_role&alert=power_map&alert=amount_empty",
    "owners and a stage": f"/deals/?owner={FIRST_ID + 1}&owner={FIRST_ID + 2}&stage={FIRST_ID + 3}",
    "all of two alerts": "/deals/?alert=no_activity&alert=power_map&match=all",
    "a team": "/deals/?team=none",
    "amounts": "/deals/?amount=50k-100k&amount=none&amount_from=150000",
    "close dates": "/deals/?close=overdue&close=next_month&close_to=2020-01-01",
    "a company": f"/deals/?company={FIRST_ID + 5}",
    "snoozed": "/deals/?view=snoozed",
    "by close date": "/deals/?sort=close",
    "last page": "/deals/?page=600&view=open",
    "words": "/deals/?q=deal+77",
    "a word of all": "/deals/?q=deal",
    "a contact": "/deals/?q=contact+123",
    "nothing": "/deals/?q=zzz",
    "words and filters": f"/deals/?q=company+1&alert=no_activity&owner={FIRST_ID + 1}&view=risk&close=later",
}


def list_page(data: Dataset, times: int = 40) -> None:
    """The slowest filter's p95, compression included, and the most statements and bytes that any of them needs: as a
    browser with scripts gets it, then what that asks for by itself (`list_details`) or when a menu opens (`list_menu`,
    the slowest of all), and as a browser without scripts gets it, in one piece (`list_whole`).

    As many saved views as are counted have tabs: each asks what a path asks.
    """
    client = _member(data)
    with tenant(data.organisation):
        user = User.objects.get(email=EMAIL)
        SavedView.objects.filter(organisation=data.organisation).delete()
        SavedView.objects.bulk_create(
            SavedView(
                organisation=data.organisation,
                user=user,
                name=name,
                query=PATHS[name].partition("?")[2],
                created_at=data.clock.now,
            )
            for name in list(PATHS)[2 : 2 + VIEWS_COUNTED]
        )
    with serial(data):
        floor = scan_floor(data) * 1e3
    _report("list_whole", client, PATHS, floor, times // 2)
    client.cookies["script"] = "1"
    _report("list_page", client, PATHS, floor, times, goal=("value", "≤", 50))
    wanted = {
        name: re.search(r'hx-get="(/deals/details/[^"]+)', client.get(path).content.decode())
        for name, path in PATHS.items()
    }
    _report("list_details", client, {name: unescape(each[1]) for name, each in wanted.items() if each}, floor, times)
    menus = {
        f"{facet}, {name}": f"/deals/facets/{facet}/?{PATHS[name].partition('?')[2]}"
        for facet in ("alert", "owner", "stage", "amount", "close", "company")
        for name in ("all", "owners and a stage", "a word of all")
    }
    _report("list_menu", client, menus, floor, times // 2)


def deal_page(data: Dataset, times: int = 30) -> None:
    """The page of a deal with 2,000 activities and every kind of alert that one has: as a browser with scripts gets it,
    alone and from the list; then what that asks for by itself (`deal_details`), and as a browser without scripts gets
    it, in one piece (`deal_whole`).
    """
    client, org = _member(data), data.organisation.pk
    client.cookies["script"] = "1"
    with serial(data):
        floor = scan_floor(data) * 1e3
        (deal,) = fetch("SELECT id FROM deals_deal WHERE organisation_id = %s ORDER BY alert_mask DESC LIMIT 1", [org])
        execute(_BUSY, {"org": org, "deal": deal, "most": 2_000})
    try:
        paths = {"alone": f"/deals/{deal}/", "from the list": f"/deals/{deal}/?list=view%3Drisk"}
        _report("deal_page", client, paths, floor, times, goal=("value", "≤", 50))
        _report("deal_details", client, {"details": f"/deals/{deal}/details/"}, floor, times)
        _report("deal_whole", client, {"whole": f"/deals/{deal}/?whole=1"}, floor, times)
    finally:
        with tenant(data.organisation):
            execute("DELETE FROM deals_dealactivity WHERE organisation_id = %s AND deal_ref = 'busy'", [org])


_BUSY = """
INSERT INTO deals_dealactivity (organisation_id, deal_id, deal_ref, activity_id, occurred_at)
SELECT organisation_id, %(deal)s, 'busy', activity_id, occurred_at FROM deals_dealactivity
WHERE organisation_id = %(org)s AND deal_id <> %(deal)s ORDER BY id LIMIT %(most)s
"""
EMAIL = "1@vigie.example"


def _member(data: Dataset) -> Client:
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", interactive=False, verbosity=0)
    user, _ = User.objects.get_or_create(email=EMAIL)
    Membership.objects.get_or_create(user=user, organisation=data.organisation)
    client = Client(SERVER_NAME="localhost")
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    client.get("/deals/")
    gc.collect()
    gc.freeze()  # as a web worker does
    return client


def _report(name: str, client: Client, paths: dict[str, str], floor: float, times: int, goal: Any = None) -> None:
    def ask(path: str) -> int:
        answer = client.get(path, headers={"accept-encoding": "gzip"})
        assert answer.status_code == 200, path
        return len(answer.content)

    taken: dict[str, list[float]] = {}
    statements = size = 0
    for each, path in paths.items():
        ask(path)
        with CaptureQueriesContext(connection) as captured:
            size = max(size, ask(path))
            asked = [query["sql"] for query in captured.captured_queries]
        statements = max(statements, len([sql for sql in asked if not re.match("BEGIN|COMMIT", sql)]))
        taken[each] = [seconds(lambda: ask(path))[0] * 1e3 for _ in range(times)]  # noqa: B023
    slowest = max(taken, key=lambda each: p95(taken[each]))
    report(
        name,
        p95(taken[slowest]),
        "ms",
        floor,
        goal=goal,
        slowest=slowest,
        statements=statements,
        html_bytes=size,
        p50={each: round(median(values), 1) for each, values in taken.items()},
    )
