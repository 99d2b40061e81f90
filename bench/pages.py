"""The deal list as a member asks for it: middleware, statements and template, without the network."""

import re
from statistics import median

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
from bench.measure import p95, report, scan_floor, seconds, serial

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


def list_page(data: Dataset, times: int = 15) -> None:
    """The slowest filter's p95, compression included, and the most statements and bytes that any of them needs.

    As many saved views as are counted have tabs: each asks what a path asks.
    """
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", interactive=False, verbosity=0)
    user, _ = User.objects.get_or_create(email="1@vigie.example")
    Membership.objects.get_or_create(user=user, organisation=data.organisation)
    with tenant(data.organisation):
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
    client = Client(SERVER_NAME="localhost")
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")

    def ask(path: str) -> int:
        answer = client.get(path, headers={"accept-encoding": "gzip"})
        assert answer.status_code == 200, path
        return len(answer.content)

    taken: dict[str, list[float]] = {}
    statements = size = 0
    for name, path in PATHS.items():
        ask(path)
        with CaptureQueriesContext(connection) as captured:
            size = max(size, ask(path))
            asked = [query["sql"] for query in captured.captured_queries]
        statements = max(statements, len([sql for sql in asked if not re.match("BEGIN|COMMIT", sql)]))
        taken[name] = [seconds(lambda: ask(path))[0] * 1e3 for _ in range(times)]  # noqa: B023
    with serial(data):
        floor = scan_floor(data) * 1e3
    slowest = max(taken, key=lambda name: p95(taken[name]))
    report(
        "list_page",
        p95(taken[slowest]),
        "ms",
        floor,
        goal=("value", "≤", 50),
        slowest=slowest,
        statements=statements,
        html_bytes=size,
        p50={name: round(median(values), 1) for name, values in taken.items()},
    )
