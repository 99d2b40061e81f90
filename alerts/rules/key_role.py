from django.db.models import Case, DateField, Expression, F, Q, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext_lazy as _

from alerts.rules.base import Dated, Family, Number, PerRole, Rule, Settings, never_read, not_before_life, text
from deals.clock import Clock


class KeyRole(Rule):
    """Nobody who holds a chosen role was engaged for too long. Judged once per role; no holder: silent."""

    kind, bit, family, icon = "key_role", 3, Family.CONTACTS, "user-star"
    title = _("Key role silent")
    description = _("No interaction with the holders of the roles you choose.")
    action = _("Get back in touch with the role's holder, or find out who replaced them.")
    parameters = {
        "roles": PerRole(_("Roles"), of=Number(_("Days"), default=12, min=1, max=365, unit=_("days"))),
    }

    meaning = """
    For each role that an admin has chosen, and that some contact of the deal holds: fires when the days since the
    latest of the following reach the role's limit: the last interaction that engages any holder, the creation, the
    last reopening. If none ever engaged a holder, also the day since when the role is known.
    - There is one verdict, and one alert, for each role.
    - Roles are those of the CRM. HubSpot: the labels of the contact on the deal together with the contact's buying
      role. Pipedrive: what the admin has mapped, a field or the label of people, or the fields of deals that hold
      people. Names that differ only in case, accents or punctuation are one role.
    - A person has the roles of all its contacts as soon as one of them is on the deal. Several holders: any of them
      will do.
    - A holder in copy, a declined invitation and an unanswered call are no interaction with the holder.
    - Known since: the creation, if the role was there at the first synchronisation; else the synchronisation that
      first saw it. Of several holders the earliest.
    - No role is chosen by default: then there is no verdict. A role that was deleted in the CRM is silent, and the
      admin is told.
    """
    facts = {
        "holders": "the people who hold the role",
        "last_on": "the day of the last interaction that engaged one of them, if any",
        "activity": "that interaction",
        "held_since_on": "the day since when the role is known",
        "reopened_on": "the day of the last reopening, if any",
    }
    clear = "Until the limit is reached; an interaction with a holder moves the date on which it would fire."
    reasons = {
        "no_holder": "no contact of the deal holds the role: silent, as it may be that nobody has filled it in",
        "participants_unread": "the participants of the deal have not been read yet: one of them may hold the role",
        "mail_unread": "the e-mails of the deal have not been read yet: one of them may engage a holder",
    }
    false_alarms = """
    - The holder has left, or the role has passed to somebody else, and nobody has said so in the CRM.
    - The holder speaks through an assistant, or was on a call that is logged with another contact.
    """
    departures = """
    - A deal without any holder does not fire: the CRM's silence about roles is no silence of a customer.
    - Who was given the role yesterday has not been silent for weeks: the days begin when the role is known.
    """

    def subjects(self, settings: Settings) -> list[str]:
        return sorted(settings["roles"])

    def fires_on(self, settings: Settings, clock: Clock, subject: str) -> Dated:
        # NULL is ignored by GREATEST: without a holder the sum must be NULL by itself.
        since = not_before_life(Coalesce(_date(subject, "last_on"), _date(subject, "since")))
        return Case(
            When(never_read("participants") | never_read("mail"), then=Value(None)),
            When(roles__has_key=subject, then=clock.after(since, settings["roles"][subject])),
        )

    def unknown(self, settings: Settings, clock: Clock, subject: str) -> Expression:
        return Case(
            When(never_read("participants"), then=text("participants_unread")),
            When(~Q(roles__has_key=subject), then=text("no_holder")),
            When(never_read("mail"), then=text("mail_unread")),
            output_field=TextField(),
        )

    def limit(self, settings: Settings, subject: str) -> int:
        return int(settings["roles"][subject])

    def evidence(self, settings: Settings, subject: str) -> dict[str, Dated]:
        names = {"holders": "holders", "last_on": "last_on", "activity": "activity", "held_since_on": "since"}
        facts = {name: KeyTransform(key, KeyTransform(subject, "roles")) for name, key in names.items()}
        return {**facts, "reopened_on": F("reopened_on")}


def _date(role: str, fact: str) -> Expression:
    return Cast(KeyTextTransform(fact, KeyTransform(role, "roles")), DateField())
