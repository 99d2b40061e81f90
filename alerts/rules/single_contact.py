from django.db.models import Case, F, When
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Number, Rule, Settings, days, not_before_life
from deals.clock import Clock


class SingleContact(Rule):
    """All exchanges are with one and the same person. The streak is a fact of the deal (deals.summaries)."""

    kind, bit, family, icon = "single_contact", 2, Family.ACTIVITY, "user-round"
    title = _("One contact only")
    description = _("Every interaction is with the same person.")
    action = _("Ask who else decides, and bring a second person into the conversation.")
    parameters = {
        "days": days(10),
        "minimum": Number(_("Minimum interactions"), default=2, min=1, max=10, unit=_("interactions")),
    }

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        oldest = Greatest(F("streak_on__0"), F("created_on"))
        enough = F(f"streak_on__{settings['minimum'] - 1}")
        return Case(
            When(
                streak_count__gte=settings["minimum"],
                then=not_before_life(clock.add_days(oldest, settings["days"]), enough),
            )
        )

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"person": F("streak_person_id"), "since": F("streak_on__0"), "count": F("streak_count")}
