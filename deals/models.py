"""What: the facts mirrored from a CRM, and what is derived from them (docs/architecture.md).

Columns named `*_ref` hold the CRM's own id of another object; the key beside them is filled when that object is here.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from accounts.tenancy import TenantKey, TenantModel, TenantPart
from deals.querysets import DealQuerySet
from deals.seniority import Level


class Source(TenantModel):
    """One CRM account. Its rows stay when the connection is cut, and are found again when it is made anew."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="sources", db_index=False)
    provider = models.CharField(max_length=20)
    account_id = models.CharField(max_length=100)
    account_name = models.CharField(max_length=200, blank=True)
    link_base = models.CharField(max_length=200, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    first_synced_at = models.DateTimeField(null=True)
    synced_at = models.DateTimeField(null=True)
    # The currency and the rates that the values of its deals come from (deals.rates).
    valued_by = models.CharField(max_length=32, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "provider", "account_id"], name="source_account_unique")
        ]


class Mirrored(TenantPart):
    """A row that a CRM owns."""

    source = TenantKey(Source, related_name="+", db_index=False)
    external_id = models.CharField(max_length=100)

    class Meta:
        abstract = True


def identity(name: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["organisation", "source", "external_id"], name=f"{name}_identity")


class ExchangeRate(TenantModel):
    """What one unit of `currency` is worth in the organisation's `base` currency from a date on, as an admin said."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="exchange_rates", db_index=False)
    base = models.CharField(max_length=3)
    currency = models.CharField(max_length=3)
    valid_on = models.DateField()
    rate = models.DecimalField(max_digits=20, decimal_places=10)
    entered_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    entered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "base", "currency", "valid_on"], name="exchange_rate_one"),
            models.CheckConstraint(condition=Q(rate__gt=0), name="exchange_rate_positive"),
        ]


class Colleague(Mirrored):
    """A user or owner of the CRM, archived ones too."""

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="colleagues", db_index=False, db_constraint=False
    )
    name = models.TextField()
    email = models.TextField(blank=True)
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [identity("colleague")]

    def __str__(self) -> str:
        return self.name


class OwnDomains(TenantModel):
    """That an admin has said which mail domains are the organisation's own (`Organisation.own_domains`): one row.

    Until then they are filled in from the addresses of its colleagues. `version` grows with each change.
    """

    version = models.IntegerField(default=1)
    chosen_at = models.DateTimeField()
    chosen_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation"], name="own_domains_once")]


class OwnerLink(TenantPart):
    """Whom an admin says a CRM user is; nobody when `user` is None. Without a row they are found by e-mail address."""

    colleague = TenantKey(Colleague, related_name="links", db_index=False)
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "colleague"], name="owner_link_one")]


class Team(TenantModel):
    """Colleagues who sell together: grouped by the CRM (`source`, `external_id`), or by an admin (neither)."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="teams", db_index=False)
    source = TenantKey(Source, null=True, related_name="+", db_index=False)
    external_id = models.CharField(max_length=100, blank=True)
    name = models.TextField()
    stale = models.BooleanField(default=False)  # gone from the CRM, or deleted by an admin

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "source", "external_id"], name="team_identity", condition=~Q(external_id="")
            )
        ]

    def __str__(self) -> str:
        return self.name


class TeamMember(TenantPart):
    team = TenantKey(Team, related_name="members", db_index=False)
    colleague = TenantKey(Colleague, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "team", "colleague"], name="team_member_unique")]


class Pipeline(Mirrored):
    name = models.TextField()
    position = models.IntegerField(default=0)
    deleted = models.BooleanField(default=False)

    class Meta:
        constraints = [identity("pipeline")]

    def __str__(self) -> str:
        return self.name


class Stage(Mirrored):
    pipeline = TenantKey(Pipeline, null=True, related_name="stages")
    pipeline_ref = models.TextField(blank=True)
    name = models.TextField()
    position = models.IntegerField(default=0)
    closed = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)

    class Meta:
        constraints = [identity("stage")]

    def __str__(self) -> str:
        return self.name


class Role(TenantPart):
    """A contact role as the CRM offers it. `key` is its name without case, accents and punctuation.

    `refs`: what it is there (`RoleRecord.ref`); two things of one name, a label and a buying role, are one role.
    """

    source = TenantKey(Source, related_name="+", db_index=False)
    key = models.TextField()
    label = models.TextField()
    refs = ArrayField(models.TextField(), default=list, db_default=[])
    stale = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "source", "key"], name="role_unique")]

    def __str__(self) -> str:
        return self.label


class Company(Mirrored):
    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="companies", db_index=False, db_constraint=False
    )
    name = models.TextField()
    updated_at = models.DateTimeField()
    deleted = models.BooleanField(default=False)

    class Meta:
        constraints = [identity("company")]

    def __str__(self) -> str:
        return self.name


class Person(TenantPart):
    """A human outside the organisation: all contacts that share an address, or an address unknown to the CRM.

    `level` is the highest of the contacts' titles; NULL means that none of them has a title. `roles` is the union.
    """

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="people", db_index=False, db_constraint=False
    )
    source = TenantKey(Source, related_name="+", db_index=False)
    name = models.TextField(blank=True)
    job_title = models.TextField(blank=True)
    level = models.SmallIntegerField(null=True, choices=[(level.value, level.name) for level in Level])
    level_rule = models.TextField(blank=True)
    roles = ArrayField(models.TextField(), default=list)
    known = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class TitleCorrection(TenantModel):
    """The level that an admin gave one exact title; it wins over the rules of `deals.seniority`.

    `key` is the title without case and repeated spaces.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="title_corrections", db_index=False)
    key = models.TextField()
    title = models.TextField()
    level = models.SmallIntegerField(choices=[(level.value, level.name) for level in Level])
    corrected_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    corrected_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "key"], name="title_correction_unique")]

    def __str__(self) -> str:
        return self.title


class PersonAddress(TenantPart):
    """An address and whose it is. A table and not an array: under row level security no array index is used."""

    source = TenantKey(Source, related_name="+", db_index=False)
    person = TenantKey(Person, related_name="addresses", db_index=False)
    address = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "source", "address"], name="person_address")]
        indexes = [models.Index(fields=["organisation", "person"], name="person_address_person")]


class Contact(Mirrored):
    person = TenantKey(Person, null=True, on_delete=models.SET_NULL, related_name="contacts", db_index=False)
    company = TenantKey(Company, null=True, on_delete=models.SET_NULL, related_name="contacts")
    company_ref = models.TextField(blank=True)
    name = models.TextField()
    job_title = models.TextField(blank=True)
    title_key = models.TextField(blank=True, default="", db_default="")  # deals.titles.key_of
    level = models.SmallIntegerField(null=True)
    level_rule = models.TextField(blank=True)
    emails = ArrayField(models.TextField(), default=list)
    roles = ArrayField(models.TextField(), default=list)
    updated_at = models.DateTimeField()
    deleted = models.BooleanField(default=False)

    class Meta:
        constraints = [identity("contact")]
        indexes = [models.Index(fields=["organisation", "person"], name="contact_person")]

    def __str__(self) -> str:
        return self.name


class Deal(Mirrored):
    """A deal as the CRM tells it, then what `deals.summaries` derives, then the mask that alerts write.

    Local dates (`*_on`) are in the organisation's zone.
    """

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        WON = "won", _("Won")
        LOST = "lost", _("Lost")

    title = models.TextField()
    status = models.CharField(max_length=4, choices=Status)
    amount = models.DecimalField(max_digits=20, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)
    stage = TenantKey(Stage, null=True, on_delete=models.SET_NULL, related_name="deals", db_index=False)
    pipeline = TenantKey(Pipeline, null=True, on_delete=models.SET_NULL, related_name="deals", db_index=False)
    owner = TenantKey(Colleague, null=True, on_delete=models.SET_NULL, related_name="deals", db_index=False)
    company = TenantKey(Company, null=True, on_delete=models.SET_NULL, related_name="deals")
    stage_ref = models.TextField(blank=True)
    pipeline_ref = models.TextField(blank=True)
    owner_ref = models.TextField(blank=True)
    company_ref = models.TextField(blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    close_on = models.DateField(null=True)
    crm_stage_entered_at = models.DateTimeField(null=True)
    mail_at = models.DateTimeField(null=True)
    archived = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)
    participants_told = models.TextField(blank=True, default="", db_default="")  # `DealRecord`
    mail_told = models.TextField(blank=True, default="", db_default="")

    # Bits of `deals.records.BITS`: what is to be read of this deal, and what has never been read and some rules wait
    # for. A new mail makes no rule wait: what was known before it goes on being judged until it is read.
    unread = models.SmallIntegerField(default=0, db_default=0)
    waits = models.SmallIntegerField(default=0, db_default=0)
    history_known = models.BooleanField(default=False, db_default=False)  # the CRM's own history is in FieldChange

    # What was seen to change between two reads, or what the CRM's history says of it; kept by `deals.upsert`.
    stage_seen_at = models.DateTimeField(null=True)
    reopened_at = models.DateTimeField(null=True)
    amount_emptied_at = models.DateTimeField(null=True)  # it became missing or zero
    amount_missing_at = models.DateTimeField(null=True)  # it became missing

    # Derived; rebuilt by `deals.summaries`, never adjusted.
    created_on = models.DateField(null=True)
    reopened_on = models.DateField(null=True)
    stage_entered_on = models.DateField(null=True)
    stage_known = models.BooleanField(default=True)  # False: stage_entered_on is "at least"
    last_interaction_at = models.DateTimeField(null=True)
    last_interaction_on = models.DateField(null=True)
    last_interaction = TenantKey("Activity", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    last_touch_on = models.DateField(null=True)  # the latest of last interaction, creation, reopening
    planned_until_on = models.DateField(null=True)  # the local day on which the last planned meeting ends
    planned = TenantKey("Activity", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    streak_person = TenantKey(Person, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    streak_on = ArrayField(models.DateField(), default=list)  # the first dates of the streak, oldest first, at most ten
    streak_count = models.IntegerField(default=0)
    engaged_count = models.IntegerField(default=0)
    titled_count = models.IntegerField(default=0)
    top_level = models.SmallIntegerField(null=True)
    # Roles that contacts of the deal hold: {role key: {"holders": [person id], "held": {person id: since when},
    # "since": local date, "last_on": local date of the last interaction with a holder or null, "activity": its id}}.
    # `held` remembers: creation when the role was there at the first sync, else the sync that first saw it.
    roles = models.JSONField(default=dict, db_default={})
    roll_at = models.DateTimeField(null=True)  # when the first activity that lies ahead will have happened

    search = models.TextField(blank=True, default="", db_default="")  # of open deals (deals.search)
    # Of open deals: the amount in the organisation's currency, NULL without a rate (deals.rates).
    value = models.DecimalField(max_digits=20, decimal_places=2, null=True)

    # Opaque here: bits that belong to `alerts.rules`.
    alert_mask = models.IntegerField(default=0)

    objects: ClassVar[DealQuerySet] = DealQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [identity("deal")]
        indexes = [
            # The deal list: its order, and all that its filters and counts read (docs/adr/0012).
            models.Index(
                F("organisation"),
                F("alert_mask").bitrightshift(16).desc(nulls_last=True),
                F("value").desc(nulls_last=True),
                F("id"),
                include=[
                    *("alert_mask", "amount", "currency", "owner", "stage", "pipeline", "company", "close_on", "search")
                ],
                name="deal_list",
                condition=Q(status="open", archived=False, deleted=False),
            ),
            # The same without order and names: most counts read this one, which has half of the pages.
            models.Index(
                fields=["organisation"],
                include=[
                    *("id", "alert_mask", "amount", "value", "currency", "owner", "stage", "pipeline", "company"),
                    "close_on",
                ],
                name="deal_counts",
                condition=Q(status="open", archived=False, deleted=False),
            ),
            models.Index(fields=["organisation", "roll_at"], name="deal_roll", condition=Q(roll_at__isnull=False)),
            models.Index(
                fields=["organisation", "source", "status", "closed_at"], name="deal_unread", condition=Q(unread__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.title


class DealContact(TenantPart):
    """A contact that the CRM associates with the deal; `roles` holds keys given on this deal only.

    `participant`: in the deal's own list of participants (Pipedrive), which is read after the deal.
    """

    deal = TenantKey(Deal, related_name="deal_contacts", db_index=False)
    contact = TenantKey(Contact, null=True, on_delete=models.CASCADE, related_name="deal_contacts", db_index=False)
    contact_ref = models.TextField()
    primary = models.BooleanField(default=False)
    participant = models.BooleanField(default=False, db_default=False)
    roles = ArrayField(models.TextField(), default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "deal", "contact_ref"], name="deal_contact_unique")
        ]
        indexes = [
            models.Index(fields=["organisation", "contact_ref"], name="deal_contact_ref"),
            models.Index(fields=["organisation", "contact"], name="deal_contact_contact"),
        ]


class Activity(Mirrored):
    """A call, e-mail, message or meeting. Meaning of the times and of `state`: `deals.records`."""

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="activities", db_index=False, db_constraint=False
    )
    kind = models.CharField(max_length=10)
    type_ref = models.TextField(blank=True, default="", db_default="")  # `ActivityRecord.type`
    state = models.CharField(max_length=12)
    subject = models.TextField(blank=True)
    at = models.DateTimeField(null=True)
    on = models.DateField(null=True)
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    owner_ref = models.TextField(blank=True)
    updated_at = models.DateTimeField()
    deleted = models.BooleanField(default=False)
    fingerprint = models.CharField(max_length=32, blank=True)  # of participants and deals as delivered
    # Derived from the participants.
    internal = models.BooleanField(default=False)  # every recorded participant is a colleague
    nobody_coming = models.BooleanField(default=False)  # every recorded invitee is a colleague or declined

    class Meta:
        constraints = [identity("activity")]

    def __str__(self) -> str:
        return self.subject


class DealActivity(TenantPart):
    """An activity on one of its deals, with the moment that places it: what a scan of the history reads."""

    organisation = models.ForeignKey(
        Organisation, models.CASCADE, related_name="deal_activities", db_index=False, db_constraint=False
    )
    deal = TenantKey(Deal, null=True, related_name="deal_activities", db_index=False)
    deal_ref = models.TextField()
    activity = TenantKey(Activity, related_name="deal_activities", db_index=False)
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "activity", "deal_ref"], name="deal_activity_unique")
        ]
        indexes = [
            models.Index(fields=["organisation", "deal", "occurred_at"], name="deal_activity_history"),
            models.Index(
                fields=["organisation", "deal_ref"], name="deal_activity_waiting", condition=Q(deal__isnull=True)
            ),
        ]


class Participant(TenantPart):
    """One recorded party of an activity; `person` is NULL for a colleague."""

    activity = TenantKey(Activity, related_name="participants", db_index=False)
    part = models.CharField(max_length=10)
    address = models.TextField(blank=True)
    contact_ref = models.TextField(blank=True)
    colleague_ref = models.TextField(blank=True)
    name = models.TextField(blank=True)
    declined = models.BooleanField(default=False)
    # Derived
    person = TenantKey(Person, null=True, on_delete=models.SET_NULL, related_name="participations", db_index=False)
    colleague = models.BooleanField(default=False)
    engaged = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(fields=["organisation", "activity"], name="participant_activity"),
            models.Index(
                fields=["organisation", "person"], name="participant_person", condition=Q(person__isnull=False)
            ),
            models.Index(fields=["organisation", "address"], name="participant_address", condition=~Q(address="")),
            models.Index(fields=["organisation", "contact_ref"], name="participant_ref", condition=~Q(contact_ref="")),
        ]


class DealPerson(TenantPart):
    """Who was engaged on a deal: derived, one row per deal and person."""

    deal = TenantKey(Deal, related_name="people", db_index=False)
    person = TenantKey(Person, related_name="deals", db_index=False)
    first_on = models.DateField()
    last_on = models.DateField()
    last_activity = TenantKey(Activity, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    interactions = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "deal", "person"], name="deal_person_unique")]
        indexes = [models.Index(fields=["organisation", "person"], name="deal_person_person")]


class FieldChange(TenantPart):
    """A change of stage, amount, close date, status or owner; `old` and `new` are text.

    As seen between two reads, but for the owner until the CRM's own history replaces it (deals.details).
    """

    deal = TenantKey(Deal, related_name="changes", db_index=False)
    field = models.CharField(max_length=20)
    old = models.TextField(null=True)  # noqa: DJ001 - NULL is "none", which differs from empty
    new = models.TextField(null=True)  # noqa: DJ001
    changed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["organisation", "deal", "changed_at"], name="field_change_history")]
