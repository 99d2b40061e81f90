"""What every page shows beside its own content."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from alerts.freshness import freshness
from crm_sync.status import status
from deals.clock import Clock

THEMES = ("light", "dark")


def page(request: HttpRequest) -> dict[str, Any]:
    """The theme that the reader chose, and for members the organisation, its clock, the state of its CRM and how
    fresh its alerts are.

    `zone`: in which times of day are shown; the days and "today" are the clock's, those of the organisation.

    The state is asked only by pages that show it: error pages do without the database.
    """
    user = getattr(request, "user", None)
    theme = user.theme if user and user.is_authenticated else request.COOKIES.get("theme", "")
    context: dict[str, Any] = {"theme": theme if theme in THEMES else ""}
    if (organisation := getattr(request, "org", None)) is not None:
        clock = Clock.of(organisation)
        context |= {
            "org": organisation,
            "membership": request.membership,  # type: ignore[attr-defined]
            "memberships": request.memberships,  # type: ignore[attr-defined]
            "zone": request.user.zone_in(organisation),  # type: ignore[union-attr]
            "clock": clock,
            "crm": SimpleLazyObject(lambda: status(organisation, clock)),
            "fresh": SimpleLazyObject(lambda: freshness(organisation, clock)),
        }
    return context
