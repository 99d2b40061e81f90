from django.db.models import F
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Rule, Settings, not_before_life
from deals.clock import Clock


class NoMeeting(Rule):
    """No meeting or scheduled call lies ahead: from the local day after the last planned one ends."""

    kind, bit, family, icon = "no_meeting", 1, Family.ACTIVITY, "calendar-x-2"
    title = _("No meeting planned")
    description = _("No meeting or scheduled call lies ahead.")
    action = _("Agree on a next step and put it in the calendar.")

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return not_before_life(clock.add_days(F("planned_until_on"), 1))

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"planned_on": F("planned_until_on"), "activity": F("planned_id")}
