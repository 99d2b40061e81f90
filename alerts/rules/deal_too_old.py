from django.db.models import F
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Rule, Settings, days
from deals.clock import Clock


class DealTooOld(Rule):
    """Too many days since the deal was created. Reopening does not reset it."""

    kind, bit, family, icon = "deal_too_old", 8, Family.HYGIENE, "history"
    title = _("Deal too old")
    description = _("The deal has been open for too long.")
    action = _("Decide with your manager whether the deal is still alive.")
    parameters = {"days": days(50)}

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return clock.add_days(F("created_on"), settings["days"])

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"created_on": F("created_on")}
