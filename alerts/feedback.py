"""Useful, or a false alarm: what people say of an alert. One opinion a person and alert, the last one counts."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import BooleanField, Case, CharField, Count, F, Max, Q, When
from django.db.models.functions import Cast

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


def opinions(organisation: Organisation, alerts: Collection[int], reader: User) -> dict[int, Opinions]:
    """By alert; those of which nobody has said anything are left out. One statement."""
    mine = Q(user=reader)
    rows = (
        Feedback.objects.filter(organisation=organisation, alert__in=alerts)
        .values("alert")
        .annotate(
            likes=Count("pk", filter=Q(useful=True)),
            dislikes=Count("pk", filter=Q(useful=False)),
            own=Max(Cast(Case(When(mine, then=F("useful")), output_field=BooleanField()), CharField())),
            said=Max(Case(When(mine, then=F("comment")), output_field=CharField())),
        )
        .order_by()
    )
    own = {"true": True, "false": False}
    return {
        row["alert"]: Opinions(row["likes"], row["dislikes"], own.get(row["own"]), row["said"] or "") for row in rows
    }
