"""Whence: connections to CRMs, the runs that read them, and how far each has come."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from accounts.tenancy import TenantKey, TenantModel, TenantPart
from crm_sync.providers.pipedrive.types import suggested
from deals.models import Source


class Connection(TenantPart):
    """The key to one CRM account. Disconnecting empties the token; the source and its rows stay."""

    class State(models.TextChoices):
        CONNECTED = "connected", _("Connected")
        REFUSED = "refused", _("Token refused")
        FORBIDDEN = "forbidden", _("Permission missing")
        UNINSTALLED = "uninstalled", _("Uninstalled")
        DISCONNECTED = "disconnected", _("Disconnected")
        DELETING = "deleting", _("Data being deleted")

    class Method(models.TextChoices):
        TOKEN = "token", _("by token")
        OAUTH = "oauth", _("by signing in")

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="connections", db_index=False, db_constraint=False
    )
    source = TenantKey(Source, related_name="connections", db_index=False)
    provider = models.CharField(max_length=20)
    token = models.TextField(blank=True)  # encrypted (crm_sync.vault)
    # Of a connection by OAuth only (crm_sync.oauth); `expires_at` is the access token's.
    method = models.CharField(max_length=5, choices=Method, default=Method.TOKEN, db_default="token")
    refresh_token = models.TextField(blank=True, db_default="")  # encrypted as well
    expires_at = models.DateTimeField(null=True)
    scopes = models.TextField(blank=True, db_default="")  # granted, with spaces between them
    api_url = models.CharField(max_length=200, blank=True, db_default="")  # the account's own address; "": the usual
    crm_user = models.CharField(max_length=50, blank=True, db_default="")  # whose token it is, by the CRM's id
    connected_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=12, choices=State, default=State.CONNECTED)
    role_field = models.CharField(max_length=100, blank=True)
    title_field = models.CharField(max_length=100, blank=True)
    mapping_version = models.IntegerField(default=0, db_default=0)  # grows with each change of fields or types
    connected_at = models.DateTimeField()
    synced_until = models.DateTimeField(null=True)  # everything that changed before is here
    # While its data are deleted: rows that were there, NULL until they are counted, and rows that are gone.
    to_delete = models.IntegerField(null=True)
    deleted = models.IntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "source"], name="connection_source_unique")]


class ActivityType(TenantPart):
    """A type of a Pipedrive account's activities, and what these are; one that the CRM deactivated keeps it.

    Vigie knows that of the types that every account has; of the others an admin says so. `found_at`: when it was first
    seen.
    """

    class Kind(models.TextChoices):
        CALL = "call", _("Call")
        MEETING = "meeting", _("Meeting")
        MESSAGE = "message", _("Message")
        NONE = "", _("Does not count")

    connection = TenantKey(Connection, related_name="activity_types", db_index=False)
    key = models.CharField(max_length=100)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind, blank=True)
    active = models.BooleanField(default=True)
    is_new = models.BooleanField(default=False)  # came after the first reading, and no admin has saved the types since
    found_at = models.DateTimeField()
    chosen_at = models.DateTimeField(null=True)
    chosen_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "connection", "key"], name="activity_type_unique")
        ]

    @property
    def suggestion(self) -> str:
        """What it looks like by its name, until an admin has said what it is."""
        return "" if self.chosen_at or self.kind else suggested(self.key, self.name)

    def __str__(self) -> str:
        return self.name


class Reapplication(TenantPart):
    """A change of the mapping on its way to what is stored (crm_sync.reapplying); at most one unfinished a connection.

    `types`: activities become what their types are now. `domains`: who took part by an address in one of these is
    looked at anew. `total` activities are concerned, NULL until they are counted; those up to the id `last` are done.
    """

    connection = TenantKey(Connection, related_name="reapplications", db_index=False)
    types = models.BooleanField(default=False)
    domains = models.JSONField(default=list)
    total = models.IntegerField(null=True)
    done = models.IntegerField(default=0)
    last = models.BigIntegerField(default=0)
    asked_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "connection"], name="reapplication_one_at_a_time", condition=Q(finished_at=None)
            )
        ]


class AccountRoute(models.Model):
    """That an organisation watches an account of a CRM. Outside the walls (crm_sync.routes); nothing secret in it."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+", db_index=False)
    provider = models.CharField(max_length=20)
    account_id = models.CharField(max_length=100)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "account_id", "organisation"], name="account_route_unique")
        ]


class OAuthState(TenantModel):
    """A sign-in at a CRM under way: what its answer must bring back. Deleted by the first answer (crm_sync.oauth)."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    provider = models.CharField(max_length=20)
    state = models.CharField(max_length=64)  # its SHA-256, as hex
    session = models.CharField(max_length=64)  # likewise
    came_from = models.CharField(max_length=200, blank=True)
    began_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "state"], name="oauth_state_unique")]


class SyncRun(TenantPart):
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


class StreamProgress(TenantPart):
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
    deletions = models.JSONField(default=dict, db_default={})  # rows that it would delete, by stream (crm_sync.brake)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "run", "stream"], name="stream_unique")]
        ordering = ["position"]


class DetailProgress(TenantPart):
    """How far the reading of single deals has come (crm_sync.details), one row for each `Detail` of the provider.

    `records`: deals read so far. `refused`: deals in a row that the CRM would not let us read. `left_out`: the access
    does not allow it. After other trouble (`problem`) the connection's details wait until `retry_at`.
    """

    connection = TenantKey(Connection, related_name="details", db_index=False)
    detail = models.CharField(max_length=20)
    records = models.IntegerField(default=0)
    refused = models.IntegerField(default=0)
    left_out = models.BooleanField(default=False)
    problem = models.CharField(max_length=30, blank=True)  # code of a CrmError
    attempts = models.IntegerField(default=0)  # failures in a row
    retry_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "connection", "detail"], name="detail_progress_unique")
        ]


class Reconciliation(TenantPart):
    """One comparison of a stream with all that the CRM holds of it (crm_sync.reconcile).

    `key`: the organisation's local date, so that each day has one, or what else asked for it. `cursor` as in
    StreamProgress. `named`: up to 20 ids of each kind of difference. `held`: rows that the mass-delete brake keeps.
    """

    class Phase(models.TextChoices):
        READING = "reading", _("being read")
        REPAIRING = "repairing", _("being repaired")
        DONE = "done", _("done")

    connection = TenantKey(Connection, related_name="reconciliations", db_index=False)
    stream = models.CharField(max_length=30)
    position = models.IntegerField()
    key = models.CharField(max_length=40)
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.READING)
    is_latest = models.BooleanField(default=False)  # the last one of its stream that was finished
    cursor = models.TextField(null=True)  # noqa: DJ001 - NULL is the beginning
    pages = models.IntegerField(default=0)
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    in_crm = models.IntegerField(default=0)
    here = models.IntegerField(default=0)
    missing = models.IntegerField(default=0)
    extra = models.IntegerField(default=0)
    stale = models.IntegerField(default=0)
    repaired = models.IntegerField(default=0)
    left = models.IntegerField(default=0)
    held = models.IntegerField(default=0)
    named = models.JSONField(default=dict)
    released_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    released_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=30, blank=True)
    attempts = models.IntegerField(default=0)
    retry_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "connection", "stream", "key"], name="reconciliation_once"),
            models.UniqueConstraint(
                fields=["organisation", "connection", "stream"],
                name="reconciliation_one_at_a_time",
                condition=Q(finished_at=None),
            ),
            models.UniqueConstraint(
                fields=["organisation", "connection", "stream"],
                name="reconciliation_latest",
                condition=Q(is_latest=True),
            ),
        ]


class Compared(TenantPart):
    """An id of the CRM while its stream is compared; afterwards one that differs, until that is repaired."""

    class Difference(models.TextChoices):
        MISSING = "missing", _("missing")  # in the CRM, not here
        EXTRA = "extra", _("extra")  # here, not in the CRM
        STALE = "stale", _("stale")  # here in an older version

    reconciliation = TenantKey(Reconciliation, related_name="ids", db_index=False)
    external_id = models.CharField(max_length=100)
    updated_at = models.DateTimeField(null=True)
    archived = models.BooleanField(default=False)
    difference = models.CharField(max_length=7, choices=Difference, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "reconciliation", "external_id"], name="compared_unique")
        ]


class WebhookFeed(TenantPart):
    """How a connection learns of changes: by webhooks, or, where `polled` says why not, by asking every five minutes.

    `secret` opens the address and the Basic authentication of its webhooks. While `retry_at` lies ahead, what came in
    waits: the CRM could not be asked.
    """

    class Polled(models.TextChoices):
        # Why; in words: wording.told.
        UNCHECKED = "unchecked"
        ADDRESS = "address"
        PERMISSION = "permission"
        TOKEN = "token"  # noqa: S105
        REFUSED = "refused"

    connection = TenantKey(Connection, related_name="feeds", db_index=False)
    secret = models.TextField(blank=True)  # encrypted (crm_sync.vault)
    polled = models.CharField(max_length=12, choices=Polled, default=Polled.UNCHECKED, blank=True)
    checked_at = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)  # in a row
    problem = models.CharField(max_length=30, blank=True)  # code of a CrmError
    retry_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "connection"], name="webhook_feed_unique")]


class WebhookRoute(models.Model):
    """Whose a secret address is. Outside the walls, as nobody is known yet who posts there; digests, no secrets."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+", db_index=False)
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    account_id = models.CharField(max_length=100)
    address = models.CharField(max_length=64, unique=True)  # SHA-256 of 256 random bits, as hex
    login = models.CharField(max_length=64)  # of "user:password", likewise

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "connection"], name="webhook_route_unique")]


class WebhookEvent(TenantPart):
    """A change that a CRM told: which object, not what (crm_sync.webhook_events). Kept for fourteen days.

    `retry_at` is when the next worker may take it: NULL at once, later when one has it or had it in vain. After
    `webhooks.ATTEMPTS` attempts nobody takes it any more (parked).
    """

    connection = TenantKey(Connection, related_name="events", db_index=False)
    key = models.CharField(max_length=64)
    stream = models.CharField(max_length=30)
    ref = models.CharField(max_length=100)
    action = models.CharField(max_length=10)
    into = models.CharField(max_length=100, blank=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    attempts = models.SmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=30, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "connection", "key"], name="webhook_event_unique")
        ]
        indexes = [
            models.Index(
                fields=["organisation", "connection", "id"], name="webhook_event_open", condition=Q(done_at=None)
            ),
            models.Index(fields=["organisation", "received_at"], name="webhook_event_old"),
        ]
