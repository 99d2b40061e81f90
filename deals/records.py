"""What a CRM must deliver: frozen records, made by the mappings in `crm_sync.providers`, written by `deals.upsert`.

Times are aware datetimes in UTC. A `date` is a calendar day without a zone. `external_id` and every reference to
another object (`company`, `contact`, `owner`, …) is the CRM's id as text, unique per source and kind of object
(a HubSpot activity carries its object type: "calls/123"). A reference may name an object that has not arrived yet;
it is resolved when that object arrives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

Status = Literal["open", "won", "lost"]
Kind = Literal["call", "email", "message", "meeting"]
# planned    will happen, or was planned and never marked done: no interaction
# held       took place once its time has come (a HubSpot meeting that lies ahead is "held" too: time decides)
# attempt    an unanswered, missed, busy, failed, wrong-number or voicemail call
# the others never took place
State = Literal["planned", "held", "attempt", "cancelled", "no_show", "rescheduled", "draft", "bounced"]
# to, cc, bcc, from: parties of an e-mail or message · attendee: invited to a meeting · organiser: of a meeting
# other: the other side of a call · Pipedrive has attendees and organisers whatever the kind
Part = Literal["to", "cc", "bcc", "from", "attendee", "organiser", "other"]
# What a CRM tells of single deals only, read after everything else (crm_sync.details), and its bit in a set of them.
Detail = Literal["history", "participants", "mail"]
BITS: Mapping[Detail, int] = {"history": 1, "participants": 2, "mail": 4}
# What a deal's history is told of; `status` as in `Status`, `stage` by its id, `amount` to the cent, `close_on` ISO.
Told = Literal["stage", "amount", "close_on", "status"]
# What a CRM may delete, by the name of its table.
Kept = Literal["pipelines", "stages", "companies", "contacts", "deals", "activities"]


@dataclass(frozen=True, slots=True)
class TeamRecord:
    external_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ColleagueRecord:
    """A user or owner of the CRM, archived ones too. `teams`: all those that the CRM puts it in."""

    external_id: str
    name: str
    email: str
    active: bool
    teams: tuple[TeamRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    external_id: str
    name: str
    position: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class StageRecord:
    external_id: str
    pipeline: str
    name: str
    position: int
    closed: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """A role that the CRM offers; names that differ only in case, accents or punctuation are one.

    `ref`: what stays when it is renamed, the id of the label, option or field; "" when there is nothing like it.
    """

    label: str
    ref: str = ""


@dataclass(frozen=True, slots=True)
class CompanyRecord:
    external_id: str
    name: str
    updated_at: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ContactRecord:
    """`roles`: labels that the contact itself carries (HubSpot's buying role, Pipedrive's mapped field or labels)."""

    external_id: str
    name: str
    job_title: str
    emails: tuple[str, ...]
    company: str | None
    roles: tuple[str, ...]
    updated_at: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class DealContactRecord:
    """`roles`: labels that the contact carries on this deal only (HubSpot's association labels, the names of
    Pipedrive's deal fields that hold this person)."""

    contact: str
    primary: bool = False
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DealRecord:
    """`contacts`: None when they were not read; what is stored then stays.

    `stage_entered_at` is None where the CRM does not know it; `close_on` is a date in the zone that CRM.md names.
    `mail_at` is the time of the last mail which the CRM tells without letting it be read.
    `details`: bits of what there is to read of this deal alone. `participants_told`, `mail_told`: what the CRM says of
    their number or time, as text; another text than before means that there is something new to read.
    """

    external_id: str
    title: str
    status: Status
    amount: Decimal | None
    currency: str
    pipeline: str | None
    stage: str | None
    owner: str | None
    company: str | None
    contacts: tuple[DealContactRecord, ...] | None
    created_at: datetime
    updated_at: datetime
    stage_entered_at: datetime | None = None
    closed_at: datetime | None = None
    close_on: date | None = None
    mail_at: datetime | None = None
    archived: bool = False
    deleted: bool = False
    details: int = 0
    participants_told: str = ""
    mail_told: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One change of a deal as the CRM keeps it. None: there was, or is, no value."""

    field: Told
    old: str | None
    new: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """All changes of a deal that the CRM keeps, in any order; they replace what was seen between two readings."""

    deal: str
    changes: tuple[ChangeRecord, ...]


@dataclass(frozen=True, slots=True)
class DealParticipantsRecord:
    """Everybody who takes part in a deal: (contact, since when, if the CRM tells that)."""

    deal: str
    contacts: tuple[tuple[str, datetime | None], ...]


@dataclass(frozen=True, slots=True)
class ParticipantRecord:
    """One recorded party: by address, by contact, or by colleague (at least one of them is given)."""

    part: Part
    address: str = ""
    contact: str | None = None
    colleague: str | None = None
    name: str = ""
    declined: bool = False


@dataclass(frozen=True, slots=True)
class ActivityRecord:
    """A call, e-mail, message or meeting, past or ahead.

    Timed: `at` is when it happened or will (PRODUCT §1 "When": call start, meeting end, e-mail sent; for a done
    Pipedrive activity the earlier of due end and done), `ends_at` the planned end. All-day: `on` is the day, `at` is
    None, `done_at` when it was marked done.

    `type`: the CRM's own type, where an admin says of what kind its activities are (Pipedrive).
    """

    external_id: str
    kind: Kind
    state: State
    subject: str
    at: datetime | None
    updated_at: datetime
    on: date | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    done_at: datetime | None = None
    owner: str | None = None
    deals: tuple[str, ...] = ()
    participants: tuple[ParticipantRecord, ...] = ()
    deleted: bool = False
    type: str = ""


@dataclass(frozen=True, slots=True)
class MergeRecord:
    """The CRM has made one object of several: what was known of `losers` (ids) is the survivor's now."""

    kind: Literal["companies", "contacts", "deals"]
    survivor: str
    losers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one page of a CRM delivers, in any mixture.

    `other_activities`: ids of what is no call, e-mail, message or meeting (or not any more). `roles`: all that the CRM
    offers, None when they were not read; `found_roles`: those that people were given in free text, which add to them.
    `gone`: ids that the CRM does not know any more, by kind; their rows are marked as deleted.
    """

    colleagues: Sequence[ColleagueRecord] = field(default=())
    pipelines: Sequence[PipelineRecord] = field(default=())
    stages: Sequence[StageRecord] = field(default=())
    roles: Sequence[RoleRecord] | None = None
    found_roles: Sequence[RoleRecord] = field(default=())
    companies: Sequence[CompanyRecord] = field(default=())
    contacts: Sequence[ContactRecord] = field(default=())
    deals: Sequence[DealRecord] = field(default=())
    activities: Sequence[ActivityRecord] = field(default=())
    other_activities: Sequence[str] = field(default=())
    gone: Mapping[Kept, Sequence[str]] = field(default_factory=dict)
    histories: Sequence[HistoryRecord] = field(default=())
    participants: Sequence[DealParticipantsRecord] = field(default=())
    merges: Sequence[MergeRecord] = field(default=())


def together(batches: Sequence[Batch]) -> Batch:
    """Several pages as one, in their order; of `roles`, which are told whole, the last."""
    if len(batches) == 1:
        return batches[0]
    found: dict[str, object] = {}
    for name in (one.name for one in fields(Batch)):
        parts = [part for batch in batches if (part := getattr(batch, name))]
        if name == "gone":
            kinds = dict.fromkeys(kind for part in parts for kind in part)
            found[name] = {kind: [ref for part in parts for ref in part.get(kind, ())] for kind in kinds}
        elif name != "roles":
            found[name] = [record for part in parts for record in part]
        else:
            found[name] = next((batch.roles for batch in reversed(batches) if batch.roles is not None), None)
    return Batch(**found)  # type: ignore[arg-type]
