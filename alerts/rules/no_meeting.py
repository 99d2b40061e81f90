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

    meaning = """
    Fires when no meeting or scheduled call lies ahead: from the local day after the day on which the last planned one
    ends. If none was ever planned, from the creation of the deal, or its last reopening.
    - Planned is every meeting or call linked to the deal that was neither cancelled nor rescheduled nor deleted,
      unless every recorded invitee is a colleague or has declined. Without a recorded invitee it counts.
    - A scheduled call is a HubSpot call dated in the future, or a Pipedrive call that is not done.
    - Whatever is planned for today counts until the end of the day. A no-show, a meeting never marked done and a call
      that took place count on their day; an unanswered call never.
    - A meeting marked done early counts on the day on which it was, and no longer lies ahead.
    - Tasks do not count, also those to call somebody.
    """
    facts = {
        "planned_on": "the day on which the last planned meeting or call ends; none if there never was one",
        "activity": "that meeting or call",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = "While something is planned for today or later. It would fire on the day after the last of it."
    false_alarms = """
    - The next step is in a calendar that the CRM does not see, or noted as a task.
    - Nothing remains to be discussed: the contract is with the customer to be signed. Switch the rule off for a
      pipeline where that is usual.
    """
    departures = """
    - It fires on the day after the last meeting, not an hour after it: there is time to write the next one down.
    - The CRM's own "next activity" is not used: it counts tasks and internal meetings.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return not_before_life(clock.add_days(F("planned_until_on"), 1))

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {"planned_on": F("planned_until_on"), "activity": F("planned_id"), "reopened_on": F("reopened_on")}
