from typing import Any

from django.db.models import Case, Expression, F, IntegerField, Q, TextField, Value, When
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, PerStage, Rule, Settings, days, never_read, not_before_life, text
from deals.clock import Clock

# The CRM does not say when the deal entered its stage, and its history, which may, has not been read yet.
UNTOLD = Q(stage_known=False) & never_read("history")


class StuckInStage(Rule):
    """Too many days since the deal last entered its current stage."""

    kind, bit, family, icon = "stuck_in_stage", 5, Family.HYGIENE, "hourglass"
    title = _("Stuck in stage")
    description = _("The deal stays in its stage longer than it should.")
    action = _("Find out what blocks the deal, then move it on or back.")
    parameters = {"days": days(12), "stages": PerStage(_("Limit for each stage"), of=days(12))}

    meaning = """
    Fires when the days since the last entry into the current stage reach the limit: that of the stage, if an admin
    has set one, else the rule's own.
    - Entering the stage again restarts the days.
    - A change of pipeline is an entry, a renamed stage is none. Reopening a deal is an entry, too.
    - The entry is the one that the CRM tells (HubSpot: `hs_v2_date_entered_current_stage`, Pipedrive:
      `stage_change_time`); else the last one of its history; else the change that Vigie saw between two
      synchronisations.
    - Where neither tells, the deal has been in its stage since its creation, said as "at least".
    - A limit for a stage that is gone matches nothing, and the admin is told.
    """
    facts = {
        "entered_on": "the day of the last entry into the stage",
        "exact": "whether that day is known; if not, it is the creation",
        "stage": "the stage",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = "Until the limit is reached; a change of stage begins anew."
    reasons = {"history_unread": "the CRM does not tell the entry itself, and the deal's history is not read yet"}
    false_alarms = """
    - Some stages take long by nature (legal review, a pilot): give them a limit of their own.
    - The deal moved on and nobody moved it in the CRM.
    """
    departures = """
    - Leaving a stage and coming back counts as progress, as only the last entry matters.
    """

    def limit(self, settings: Settings, subject: str) -> Any:
        if not settings["stages"]:
            return settings["days"]
        return Case(
            *(When(stage=int(stage), then=Value(limit)) for stage, limit in sorted(settings["stages"].items())),
            default=Value(settings["days"]),
            output_field=IntegerField(),
        )

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        since = not_before_life(clock.after(F("stage_entered_on"), self.limit(settings, subject)))
        return Case(When(UNTOLD, then=Value(None)), default=since)

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        return Case(When(UNTOLD, then=text("history_unread")), output_field=TextField())

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {
            "entered_on": F("stage_entered_on"),
            "exact": F("stage_known"),
            "stage": F("stage_id"),
            "reopened_on": F("reopened_on"),
        }
