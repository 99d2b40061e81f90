"""Whence: connections to CRMs, the runs that read them, and how far each has come."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from accounts.tenancy import TenantKey, TenantModel
from deals.models import Source


class Connection(TenantModel):
    """The key to one CRM account. Disconnecting empties the token; the source and its rows stay."""

    class State(models.TextChoices):
        CONNECTED = "connected", _("Connected")
        REFUSED = "refused", _("Token refused")
        FORBIDDEN = "forbidden", _("Permission missing")
        DISCONNECTED = "disconnected", _("Disconnected")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="connections", db_index=False)
    source = TenantKey(Source, related_name="connections", db_index=False)
    provider = models.CharField(max_length=20)
    token = models.TextField(blank=True)  # encrypted (crm_sync.vault)
    state = models.CharField(max_length=12, choices=State, default=State.CONNECTED)
    role_field = models.CharField(max_length=100, blank=True)
    title_field = models.CharField(max_length=100, blank=True)
    connected_at = models.DateTimeField()
    synced_until = models.DateTimeField(null=True)  # everything that changed before is here

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "source"], name="connection_source_unique")]


class SyncRun(TenantModel):
    """One reading of a CRM up to `until`; each of its streams says since when.

    At most one is unfinished per connection. A run that met trouble waits until `retry_at` and goes on where it stood.
    """

    class Kind(models.TextChoices):
        FIRST = "first", _("first synchronisation")
        CHANGES = "changes", _("changes")
        FIELDS = "fields", _("after a change of the field mapping")

    connection = TenantKey(Connection, related_name="runs", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    until = models.DateTimeField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=30, blank=True)  # code of a ProviderError
    problem_detail = models.TextField(blank=True)
    attempts = models.IntegerField(default=0)  # failures in a row
    retry_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "connection"], name="sync_run_one_at_a_time", condition=Q(finished_at=None)
            )
        ]
        indexes = [models.Index(fields=["organisation", "connection", "-started_at"], name="sync_run_latest")]


class StreamProgress(TenantModel):
    """How far a run has come in one stream. The cursor moves in the transaction of the rows that it covers.

    `since` is NULL where the stream is read whole, else where its last reading ended, less an overlap.
    """

    run = TenantKey(SyncRun, related_name="streams", db_index=False)
    position = models.IntegerField()
    stream = models.CharField(max_length=30)
    since = models.DateTimeField(null=True)
    cursor = models.TextField(null=True)  # noqa: DJ001 - NULL is the beginning
    pages = models.IntegerField(default=0)
    records = models.IntegerField(default=0)
    finished = models.BooleanField(default=False)
    problem = models.CharField(max_length=30, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "run", "stream"], name="stream_unique")]
        ordering = ["position"]
