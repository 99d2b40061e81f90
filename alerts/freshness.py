"""How fresh the alerts of an organisation are, for every page: one statement."""

import hashlib
from dataclasses import dataclass

from django.db import connection
from django.utils.translation import gettext as _

from accounts.models import Organisation
from alerts.formats import percent, time_apart
from deals.clock import Clock


@dataclass(frozen=True)
class Freshness:
    """`updating`: deals have changed, or a run is under way, and some alerts lag behind.

    `stamp` is another one after every evaluation: what a page shows may have changed.
    """

    text: str
    updating: bool
    stamp: str


_FRESHNESS = """
SELECT t.rests_until, r.finished_at, r.id, r.done, r.total,
       (SELECT max(finished_at) FROM alerts_run WHERE organisation_id = %(org)s),
       EXISTS (SELECT 1 FROM alerts_pending WHERE organisation_id = %(org)s)
FROM (VALUES (1)) one
LEFT JOIN alerts_turn t ON t.organisation_id = %(org)s
LEFT JOIN LATERAL (
    SELECT id, finished_at, done, total FROM alerts_run WHERE organisation_id = %(org)s ORDER BY id DESC LIMIT 1
) r ON true
"""


def freshness(organisation: Organisation, clock: Clock) -> Freshness:
    with connection.cursor() as cursor:
        cursor.execute(_FRESHNESS, {"org": organisation.pk})
        found = cursor.fetchone()
    rests_until, ended, pk, done, total, finished, waiting = found
    stamp = hashlib.md5(repr(found).encode(), usedforsecurity=False).hexdigest()[:12]
    running = pk is not None and ended is None
    if running and total:
        share = percent(min(0.99, done / total))
        return Freshness(_("Alerts are being brought up to date: %(share)s") % {"share": share}, True, stamp)
    if running or waiting:
        return Freshness(_("Alerts are being brought up to date"), True, stamp)
    moments = [moment for moment in (rests_until, finished) if moment and moment.year > 1970]
    if not moments:
        return Freshness("", False, stamp)
    at = min(max(moments), clock.now)  # a turn rests some seconds after its evaluation
    return Freshness(_("Alerts evaluated %(ago)s") % {"ago": time_apart(at, clock.now)}, False, stamp)
