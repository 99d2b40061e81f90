from django.db.models import Case, Expression, F, TextField, When
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Rule, Settings, not_before_life, text
from deals.clock import Clock


class CloseDatePassed(Rule):
    """The close date lies in the past. Today is not passed."""

    kind, bit, family, icon, critical = "close_date_passed", 6, Family.HYGIENE, "calendar-clock", True
    title = _("Close date passed")
    description = _("The expected close date lies in the past.")
    action = _("Agree on a new date with the customer, or close the deal.")

    meaning = """
    Fires when the close date is before today: from the day after it. Today is not passed.
    - The date is a calendar day. HubSpot keeps a moment: it is the day of that moment in the *portal's* time zone.
    - It never holds since before the creation or the last reopening, also when the date was over by then.
    """
    facts = {"close_on": "the close date", "reopened_on": "the day of the last reopening, if any"}
    clear = "On the close date and before. It would fire on the day after."
    reasons = {"no_close_date": "the deal has no close date"}
    false_alarms = """
    - The deal is won or lost, and nobody has closed it in the CRM.
    - The date means something else to the team: the start of the contract, the end of a trial.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        passed = not_before_life(clock.add_days(F("close_on"), 1))
        return Case(When(close_on__isnull=False, then=passed))

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        return Case(When(close_on__isnull=True, then=text("no_close_date")), output_field=TextField())

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"close_on": F("close_on"), "reopened_on": F("reopened_on")}
