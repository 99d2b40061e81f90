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

    meaning = """
    Fires when the days since the creation of the deal *in the CRM* reach the limit.
    - Reopening does not reset it: it is the only rule that may hold since before the last reopening.
    """
    facts = {"created_on": "the day of the creation", "reopened_on": "the day of the last reopening, if any"}
    clear = "Until the limit is reached. Nothing but closing the deal keeps it from firing."
    false_alarms = """
    - Framework contracts and tenders take longer than the default: set the limit by pipeline.
    - A deal that was imported has the date of the import, one that was made in advance is older than the sale.
    """
    departures = """
    - The age is counted from the creation, not from the first synchronisation or the entry into the pipeline.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return clock.after(F("created_on"), settings["days"])

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"created_on": F("created_on"), "reopened_on": F("reopened_on")}
