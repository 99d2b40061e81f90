"""The names behind the ids that evidence holds: two statements for any number of alerts."""

from collections.abc import Collection, Iterable

from django.contrib.postgres.aggregates import ArrayAgg, BoolOr
from django.db.models import Min, Q, TextField, Value
from django.db.models.functions import Cast, Coalesce, NullIf

from accounts.models import Organisation
from alerts.models import Alert
from alerts.wording import Names, Told
from deals.models import Activity, Person, Role

EMPTY = Value("", TextField())


def told(organisation: Organisation, activities: Iterable[int]) -> dict[int, Told]:
    """What each of the activities (ids) was."""
    engaged = Q(participants__engaged=True)
    name = Coalesce(NullIf("participants__person__name", EMPTY), "participants__address", output_field=TextField())
    rows = (
        Activity.objects.filter(organisation=organisation, pk__in=set(activities))
        .annotate(
            names=ArrayAgg(name, filter=engaged, distinct=True, default=Value([])),
            incoming=BoolOr(engaged & Q(participants__part="from"), default=False),
        )
        .values_list("pk", "kind", "names", "incoming")
    )
    return {pk: Told(kind, tuple(filter(None, names)), incoming) for pk, kind, names, incoming in rows}


def names_for(organisation: Organisation, alerts: Iterable[Alert], roles: Collection[str] = ()) -> Names:
    """Activities, people and roles that the alerts speak of, and the `roles` (keys) given."""
    alerts = list(alerts)
    activities = {alert.evidence.get("activity") for alert in alerts} - {None}
    people = {alert.evidence.get("person") for alert in alerts} - {None}
    people |= {pk for alert in alerts for pk in alert.evidence.get("holders") or ()}
    roles = {*roles, *(alert.subject for alert in alerts)} - {""}
    found: dict[str, dict[str, str]] = {"person": {}, "role": {}}
    if people or roles:
        # An unknown person is told by address.
        name = Coalesce(NullIf("name", EMPTY), Min("addresses__address"), EMPTY, output_field=TextField())
        person_rows = Person.objects.filter(organisation=organisation, pk__in=people).values_list(
            Value("person"), Cast("pk", TextField()), name
        )
        role_rows = Role.objects.filter(organisation=organisation, key__in=roles).values_list(
            Value("role"), "key", "label"
        )
        for table, key, text in person_rows.union(role_rows, all=True):
            found[table][key] = text
    return Names(
        told(organisation, activities) if activities else {},
        {int(pk): name for pk, name in found["person"].items()},
        found["role"],
    )
