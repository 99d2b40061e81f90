from django.db.models import F
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Rule, Settings, days
from deals.clock import Clock


class NoActivity(Rule):
    """Nobody has exchanged anything for too long: days since the last interaction, creation or reopening."""

    kind, bit, family, icon, critical = "no_activity", 0, Family.ACTIVITY, "phone-off", True
    title = _("No activity")
    description = _("No call, e-mail, message or meeting took place on the deal.")
    action = _("Call or write today, or close the deal.")
    parameters = {"days": days(10)}

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return clock.add_days(F("last_touch_on"), settings["days"])

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {
            "since": F("last_touch_on"),
            "last_on": F("last_interaction_on"),
            "activity": F("last_interaction_id"),
            "reopened_on": F("reopened_on"),
        }
