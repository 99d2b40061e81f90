"""Why: what was found, by which settings, and what has still to be looked at."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from accounts.tenancy import TenantKey, TenantModel
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


class Alert(TenantModel):
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


class Pending(TenantModel):
    """A deal that needs evaluation: many changes are one row, the generation tells whether one came meanwhile."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="pending", db_index=False)
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


class Parked(TenantModel):
    """A deal that makes the evaluation fail: left out, so that the others are evaluated, and told to the admin.

    It is tried again when it changes and by every run. `error`: what the database said last, for the operator.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="parked", db_index=False)
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
