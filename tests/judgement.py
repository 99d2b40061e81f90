"""The whole oracle (docs/reliability.md): the database is the CRM's state row by row, the alerts are those of the
independent evaluator over that state, every acknowledged delivery is one row, nothing is left to do, no alert is there
twice."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts.models import Alert, Parked, Pending, Run
from alerts.rules import BY_KIND
from crm_sync import details
from crm_sync.models import Connection, Reapplication, Reconciliation, SyncRun, WebhookEvent
from deals.models import Deal
from tests import oracle, second_opinion
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
TABLES = {"deal": "deals", "person": "persons", "organization": "organizations", "activity": "activities"}


@dataclass
class Report:
    """`counts`: what was compared, by kind; `differences`: a line each, which begins with its kind."""

    counts: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.differences

    def by_kind(self) -> dict[str, int]:
        return dict(Counter(line.split(maxsplit=1)[0] for line in self.differences))

    def __str__(self) -> str:
        compared = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        found = ", ".join(f"{count} {kind}" for kind, count in self.by_kind().items())
        return f"compared {compared}; differences: {found or 'none'}"


def judge(
    organisation: Organisation, sandbox: Sandbox, crm: str, emptied: Mapping[str, datetime] | None = None
) -> Report:
    """Of an organisation with one connection. `emptied`: when the amounts of deals went, which no CRM tells."""
    rows, counts = oracle.compared(organisation, sandbox, crm)
    report = Report(counts, rows)
    with tenant(organisation):
        connection = Connection.objects.get(provider=crm)
        report.differences += _left(connection)
        report.differences += _doubled(organisation)
    if crm == "pipedrive":
        report.differences += oracle.participants(organisation, sandbox)
    for part in (_alerts(organisation, connection, sandbox, emptied or {}), _deliveries(connection, sandbox)):
        report.counts |= part.counts
        report.differences += part.differences
    return report


def _left(connection: Connection) -> Iterator[str]:
    """What is dirty or unsent."""
    if connection.state != Connection.State.CONNECTED:
        yield f"left the connection is {connection.state}"
    todo = {
        "reapplications of the mapping": Reapplication.objects.filter(finished_at=None),
        "runs": SyncRun.objects.filter(finished_at=None),
        "comparisons": Reconciliation.objects.filter(finished_at=None),
        "records that comparisons could not repair": Reconciliation.objects.filter(is_latest=True, left__gt=0),
        "webhook events": WebhookEvent.objects.filter(done_at=None),
        "deals to evaluate": Pending.objects.all(),
        "parked deals": Parked.objects.all(),
        "evaluations": Run.objects.filter(finished_at=None),
    }
    for name, found in todo.items():
        if count := found.count():
            yield f"left {count} {name}"
    for what, count in details.remaining(connection).items():
        if count:
            yield f"left {count} deals whose {what} are to be read"


def _doubled(organisation: Organisation) -> Iterator[str]:
    """Alerts that are open twice, and deals whose mask says something else than their alerts."""
    open_ones = Alert.objects.filter(resolved_at=None)
    same = open_ones.values("deal__external_id", "kind", "subject").annotate(n=Count("pk")).filter(n__gt=1)
    for one in same:
        yield f"doubled alert {one['kind']} of deal {one['deal__external_id']}: {one['n']} times"
    masks: dict[int, int] = {}
    for deal, kind in open_ones.values_list("deal", "kind"):
        masks[deal] = masks.get(deal, 0) | 1 << BY_KIND[kind].bit
    for pk, id, mask in Deal.objects.filter(organisation=organisation).values_list("pk", "external_id", "alert_mask"):
        if mask & 0xFFFF != masks.get(pk, 0):
            yield f"doubled mask of deal {id}: {mask & 0xFFFF:b} and not {masks.get(pk, 0):b}"


def _alerts(
    organisation: Organisation, connection: Connection, sandbox: Sandbox, emptied: Mapping[str, datetime]
) -> Report:
    url, token, zone = f"{sandbox.url}/{connection.provider}", TOKENS[connection.provider], ZoneInfo("Europe/Paris")
    if connection.provider == "pipedrive":
        fields = {"role_field": connection.role_field or None, "title_field": connection.title_field or None}
        deals, people = second_opinion.pipedrive(url, token, zone, **fields)
    else:
        deals, people = second_opinion.hubspot(url, token)
    now = datetime.now(UTC)
    theirs: dict[tuple[str, str], Any] = {}
    for deal in deals:
        deal.emptied = emptied.get(deal.id, deal.emptied)
        theirs |= {(deal.id, kind): on for kind, on in second_opinion.alerts(deal, people, now, zone, {}).items()}
    with tenant(organisation):
        found = Alert.objects.filter(resolved_at=None).values_list("deal__external_id", "kind", "holds_since")
        ours = {(id, kind): on for id, kind, on in found}
    differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    lines = [f"alerts {id} {kind}: {ours.get((id, kind))} and not {theirs.get((id, kind))}" for id, kind in differing]
    return Report({"alerts": len(theirs)}, lines)


def _deliveries(connection: Connection, sandbox: Sandbox) -> Report:
    """Two events of one object at one moment look alike, so they are counted."""
    told, acknowledged = Counter[Any](), Counter[Any]()
    for kind, id, at, was_acknowledged in sandbox.ledger(connection.provider):
        stream = TABLES.get(kind, kind)
        key = stream, f"{stream}/{id}" if stream in oracle.HUBSPOT else id, oracle.moment(at)
        told[key] += 1
        acknowledged[key] += was_acknowledged
    with tenant(connection.organisation_id):
        kept = Counter(WebhookEvent.objects.values_list("stream", "ref", "occurred_at"))
    lines = [
        f"deliveries {stream} {ref} of {at}: {kept[key]} rows, {acknowledged[key]} acknowledged of {told[key]}"
        for key in told.keys() | kept.keys()
        for stream, ref, at in (key,)
        if not acknowledged[key] <= kept[key] <= told[key]
    ]
    return Report({"events": told.total(), "acknowledged": acknowledged.total()}, sorted(lines))
