"""What the properties of HubSpot's deals were before, the newest first: `propertiesWithHistory`."""

from crm_sandbox.clock import DAY, iso_ms
from crm_sandbox.store import Fields


def version(value: object, at: int) -> Fields:
    """One entry of a property's history."""
    return {
        "value": value,
        "timestamp": iso_ms(at * 1000),
        "sourceType": "CRM_UI",
        "sourceId": "userId:9586504",
        "updatedByUserId": 9586504,
    }


def invented(
    number: int,
    created: int,
    entered: int,
    stages: list[str],
    lost: str,
    amount: str | None,
    close: str | None,
    closed: bool,
) -> Fields:
    """`stages`: those of the pipeline up to the present one, which was `entered` last. Some deals were lost and opened
    again, some amounts were raised or cleared, some close dates postponed. It ends in what the deal is now."""
    span, history = entered - created, Fields()
    if stages:
        path = list(stages)
        if span <= 0:
            path = path[-1:]
        if not closed and span > 6 * DAY and number % 31 == 17:
            path[1:1] = [lost, path[0]]
        last = max(len(path) - 1, 1)
        history["dealstage"] = [version(stage, created + span * n // last) for n, stage in enumerate(path)][::-1]
    history["amount"] = [version(amount, created)] if amount else []
    if span > DAY and amount and number % 3 == 0:
        before = str(int(amount) * 4 // 5 // 100 * 100)
        history["amount"] = [version(amount, created + span * 2 // 5), version(before, created)]
    elif span > DAY and not amount and number % 4 == 1:
        history["amount"] = [version("", created + span // 2), version("12000", created)]
    history["closedate"] = [version(close, created)] if close else []
    if span > DAY and close and number % 5 < 2:
        earlier = iso_ms((created + 20 * DAY) * 1000)
        history["closedate"] = [version(close, created + span * 3 // 5), version(earlier, created)]
    return history
