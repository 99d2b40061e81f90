"""Useful, or a false alarm: what people say of an alert. One opinion a person and alert, the last one counts."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection

from accounts.models import Organisation, User
from alerts.models import Alert, Feedback
from deals.clock import Clock

COMMENT_LENGTH = 1000


@dataclass(frozen=True)
class Opinions:
    """How many people say what. `mine`: whether the reader finds it useful, None without an opinion."""

    useful: int = 0
    false_alarms: int = 0
    mine: bool | None = None
    comment: str = ""


def give(alert: Alert, user: User, useful: bool | None, comment: str, clock: Clock) -> None:
    """Say what `user` thinks of the alert; None takes the opinion back. Runs in the caller's transaction."""
    mine = Feedback.objects.filter(organisation=alert.organisation_id, alert=alert, user=user)
    if useful is None:
        mine.delete()
        return
    said = {
        "useful": useful,
        "comment": " ".join(comment.replace("\x00", "").split())[:COMMENT_LENGTH],
        "given_at": clock.now,
    }
    Feedback.objects.update_or_create(organisation_id=alert.organisation_id, alert=alert, user=user, defaults=said)


# In SQL: to build it with the ORM took longer than to run it.
_OPINIONS = """
SELECT alert_id, count(*) FILTER (WHERE useful), count(*) FILTER (WHERE NOT useful),
       bool_or(useful) FILTER (WHERE user_id = %(reader)s), max(comment) FILTER (WHERE user_id = %(reader)s)
FROM alerts_feedback WHERE organisation_id = %(org)s AND alert_id = ANY(%(alerts)s) GROUP BY alert_id
"""


def opinions(organisation: Organisation, alerts: Collection[int], reader: User) -> dict[int, Opinions]:
    """By alert; those of which nobody has said anything are left out. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_OPINIONS, {"org": organisation.pk, "reader": reader.pk, "alerts": [*alerts]})
        return {
            alert: Opinions(likes, dislikes, mine, said or "")
            for alert, likes, dislikes, mine, said in cursor.fetchall()
        }
