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

    meaning = """
    Fires when the days since the latest of the following reach the limit: the last interaction, the creation of the
    deal, its last reopening.
    - Every [interaction](#words) counts, whoever began it, and also one that engages nobody (a meeting that records
      only its organiser, mail that Vigie may not read).
    - Attempts, notes, tasks, changes of fields, internal meetings, and whatever was cancelled, missed, bounced,
      drafted or deleted do not count. Nor does what is planned, until it has taken place.
    - An interaction counts on the day on which it took place, however late it was logged. One that is older than the
      deal is an interaction of the deal, but the days begin at the creation.
    """
    facts = {
        "since": "the day from which the days are counted",
        "last_on": "the day of the last interaction; none if there never was one",
        "activity": "the last interaction",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = "Until the limit is reached; an interaction moves the date on which it would fire."
    false_alarms = """
    - The exchange took place where the CRM does not record it: a mobile phone, a private messenger, a mailbox that is
      not connected.
    - Pipedrive: a call or meeting that took place and was never marked done, or has an activity type of the
      customer's own.
    - Both sides agreed to wait: holidays, a budget round.
    """
    departures = """
    - Unanswered, missed, busy, failed, wrong-number and voicemail calls are attempts, no interactions: whoever calls
      five times in vain has an inactive deal. The evidence counts them.
    - The CRM's own "last activity" is not used: it counts notes and tasks.
    """

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        return clock.after(F("last_touch_on"), settings["days"])

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        return {
            "since": F("last_touch_on"),
            "last_on": F("last_interaction_on"),
            "activity": F("last_interaction_id"),
            "reopened_on": F("reopened_on"),
        }
