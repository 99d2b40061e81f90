"""Why: what was found, by which settings, and what has still to be looked at."""

from typing import ClassVar

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from accounts.tenancy import TenantKey, TenantModel, TenantPart
from deals.models import Deal


class Configuration(TenantModel):
    """One saved version of an organisation's alert settings; the newest is in force, the others are its history.

    `rules`: {kind: {"enabled": bool, parameter: value, …}}, complete and valid (alerts.settings).
    `overrides`: [{"name", "pipelines": [id], "teams": [id], "rules": {kind: {parameter: value}}}]; for a deal the
    first that matches wins; what it does not say is as in `rules`. `pipelines`: ids of those watched, null for all.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="configurations", db_index=False)
    version = models.IntegerField()
    rules = models.JSONField()
    overrides = models.JSONField(default=list, db_default=[])
    pipelines = models.JSONField(null=True)
    business_days = models.BooleanField(default=False, db_default=False)
    saved_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    saved_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "version"], name="configuration_version")]


class AlertQuerySet(models.QuerySet["Alert"]):
    def with_snooze(self) -> "AlertQuerySet":
        """`is_snoozed`: people do not want to see it for now."""
        return self.annotate(is_snoozed=Exists(_snoozes_of_alert()))

    def awake(self) -> "AlertQuerySet":
        return self.filter(~Exists(_snoozes_of_alert()))

    def asleep(self) -> "AlertQuerySet":
        return self.filter(Exists(_snoozes_of_alert()))


def _snoozes_of_alert() -> "models.QuerySet[Snooze]":
    return Snooze.objects.filter(
        **{name: OuterRef(name) for name in ("organisation", "deal", "kind", "subject")}, ended_at__isnull=True
    )


class Alert(TenantPart):
    """A rule that fires, or fired, on a deal. Written by `alerts.engine` alone.

    `holds_since` is computed from today's facts; `opened_at` is when Vigie first saw it; `evidence` holds stable facts
    (dates, ids, the limit), never an age. `basis` says by which settings of its rule it was judged last.
    """

    class Reason(models.TextChoices):
        FACT_CHANGED = "fact_changed", _("the facts changed")
        WON = "won", _("the deal was won")
        LOST = "lost", _("the deal was lost")
        ARCHIVED = "archived", _("the deal was archived")
        DELETED = "deleted", _("the deal was deleted")
        RULE_OFF = "rule_off", _("the alert was switched off")
        SETTINGS_CHANGED = "settings_changed", _("the settings changed")
        ROLE_DELETED = "role_deleted", _("the role was deleted in the CRM")

    deal = TenantKey(Deal, related_name="alerts", db_index=False)
    kind = models.CharField(max_length=20)
    subject = models.TextField(blank=True)
    holds_since = models.DateField()
    opened_at = models.DateTimeField()
    evidence = models.JSONField()
    basis = models.CharField(max_length=32)
    resolved_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=20, choices=Reason, blank=True)

    objects: ClassVar[AlertQuerySet] = AlertQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "deal", "kind", "subject"],
                name="alert_one_open",
                condition=Q(resolved_at__isnull=True),
            )
        ]
        indexes = [models.Index(fields=["organisation", "deal", "opened_at"], name="alert_history")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()


class Pending(TenantPart):
    """A deal that needs evaluation: many changes are one row, the generation tells whether one came meanwhile."""

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="pending", db_index=False, db_constraint=False
    )
    deal = TenantKey(Deal, related_name="+", db_index=False)
    generation = models.BigIntegerField(default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "deal"], name="pending_unique")]


class Turn(TenantModel):
    """Whose turn it is to evaluate what has changed: the worker's that holds the lock of the organisation's one row.

    Before `rests_until` it is nobody's, so that the changes that come meanwhile are one evaluation; `rung`: the worker
    will be rung then.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="turns", db_index=False)
    rests_until = models.DateTimeField()
    rung = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation"], name="turn_one")]


class ParkedQuerySet(models.QuerySet["Parked"]):
    def for_notice(self) -> "ParkedQuerySet":
        """The ten parked for the longest, with what names them. What is bad about them may be unreadable here too."""
        named = self.select_related("deal__company").only("parked_at", "deal__title", "deal__company__name")
        return named.order_by("parked_at", "pk")[:10]


class Parked(TenantPart):
    """A deal that makes the evaluation fail: left out, so that the others are evaluated, and told to the admin.

    It is tried again when it changes and by every run. `error`: what the database said last, for the operator.
    """

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="parked", db_index=False, db_constraint=False
    )
    deal = TenantKey(Deal, related_name="+", db_index=False)
    error = models.CharField(max_length=500)
    attempts = models.IntegerField(default=1)
    parked_at = models.DateTimeField()
    tried_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Parked"]] = models.Manager.from_queryset(ParkedQuerySet)()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "deal"], name="parked_unique")]

    def __str__(self) -> str:
        return f"deal {self.deal_id}: {self.error}"


class Run(TenantModel):
    """An evaluation of all deals: daily (one per organisation and local date) or after a change of settings.

    `position` is the last deal done, so that a run which was interrupted goes on from there. The newest does the work
    of those before it, which end with it.
    """

    class Cause(models.TextChoices):
        DAILY = "daily", _("daily")
        SETTINGS = "settings", _("settings changed")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="runs", db_index=False)
    cause = models.CharField(max_length=10, choices=Cause)
    key = models.CharField(max_length=20)  # the local date, or the version of the settings
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    position = models.BigIntegerField(default=0)
    done = models.IntegerField(default=0)
    total = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "cause", "key"], name="run_once")]


class SavedView(TenantModel):
    """A named set of filters: `query` is the canonical query string of the deal list (alerts.deal_query)."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="saved_views", db_index=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "user", "name"], name="saved_view_name")]

    def __str__(self) -> str:
        return self.name


class StartView(TenantPart):
    """The saved view with which a member's deal list opens, their own or a shared one."""

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="start_views", db_index=False, db_constraint=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    view = TenantKey(SavedView, related_name="+", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "user"], name="start_view_one")]


class Snooze(TenantPart):
    """An alert that people do not want to see on one deal for now; the rule goes on being evaluated.

    Until the morning of `until_on`, or until the deal changes from what it was (`state`), or for good when it is muted
    (neither). `subject` as in Alert. It ends (`ended_at`) by hand (`ended_by`), by its date or by a change. While it
    lasts, the alert is left out of Deal.alert_mask.
    """

    deal = TenantKey(Deal, related_name="snoozes", db_index=False)
    kind = models.CharField(max_length=20)
    subject = models.TextField(blank=True)
    until_on = models.DateField(null=True)
    state = models.CharField(max_length=32, blank=True)
    reason = models.TextField(blank=True)
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "deal", "kind", "subject"],
                name="snooze_one_open",
                condition=Q(ended_at__isnull=True),
            )
        ]


class Feedback(TenantPart):
    """Whether somebody found an alert useful or a false alarm; one opinion a person and alert, the last one counts."""

    alert = TenantKey(Alert, related_name="feedback", db_index=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    useful = models.BooleanField()
    comment = models.TextField(blank=True)
    given_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "alert", "user"], name="feedback_one")]
