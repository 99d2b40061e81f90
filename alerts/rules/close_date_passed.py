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

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        passed = not_before_life(clock.add_days(F("close_on"), 1))
        return Case(When(close_on__isnull=False, then=passed))

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        return Case(When(close_on__isnull=True, then=text("no_close_date")), output_field=TextField())

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"close_on": F("close_on")}
