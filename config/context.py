"""What every page shows beside its own content."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from crm_sync.status import status
from deals.clock import Clock

THEMES = ("light", "dark")


def page(request: HttpRequest) -> dict[str, Any]:
    """The theme that the reader chose, and for members the organisation, its clock and the state of its CRM.

    The state is asked only by pages that show it: error pages do without the database.
    """
    theme = request.COOKIES.get("theme", "")
    context: dict[str, Any] = {"theme": theme if theme in THEMES else ""}
    if (organisation := getattr(request, "org", None)) is not None:
        clock = Clock.of(organisation)
        context |= {
            "org": organisation,
            "membership": request.membership,  # type: ignore[attr-defined]
            "clock": clock,
            "crm": SimpleLazyObject(lambda: status(organisation, clock)),
        }
    return context
