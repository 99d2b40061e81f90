"""How fresh the alerts of an organisation are, for every page: one statement."""

import hashlib
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import JSONObject
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts.formats import percent, time_apart
from alerts.models import Pending, Run, Turn
from deals.clock import Clock


@dataclass(frozen=True)
class Freshness:
    """`updating`: deals have changed, or a run is under way, and some alerts lag behind.

    `stamp` is another one after every evaluation: what a page shows may have changed.
    """

    text: str
    updating: bool
    stamp: str


def freshness(organisation: Organisation, clock: Clock) -> Freshness:
    mine = {"organisation": OuterRef("pk")}
    run = JSONObject(pk="pk", finished="finished_at", done="done", total="total")
    found = (
        Organisation.objects.filter(pk=organisation.pk)
        .values(
            rests_until=Subquery(Turn.objects.filter(**mine).values("rests_until")[:1]),
            run=Subquery(Run.objects.filter(**mine).order_by("-pk").values(json=run)[:1]),
            finished=Subquery(
                Run.objects.filter(**mine).order_by("-finished_at").exclude(finished_at=None).values("finished_at")[:1]
            ),
            waiting=Exists(Pending.objects.filter(**mine)),
        )
        .get()
    )
    stamp = hashlib.md5(repr(found).encode(), usedforsecurity=False).hexdigest()[:12]
    running = found["run"] if found["run"] and not found["run"]["finished"] else None
    if running and running["total"]:
        share = percent(min(0.99, running["done"] / running["total"]))
        return Freshness(_("Alerts are being brought up to date: %(share)s") % {"share": share}, True, stamp)
    if running or found["waiting"]:
        return Freshness(_("Alerts are being brought up to date"), True, stamp)
    moments = [moment for moment in (found["rests_until"], found["finished"]) if moment and moment.year > 1970]
    if not moments:
        return Freshness("", False, stamp)
    at = min(max(moments), clock.now)  # a turn rests some seconds after its evaluation
    return Freshness(_("Alerts evaluated %(ago)s") % {"ago": time_apart(at, clock.now)}, False, stamp)
