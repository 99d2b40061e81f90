"""Teams that an admin makes, for organisations whose CRM groups nobody or otherwise than they sell.

Every function runs in the caller's transaction and tenant context, and raises ValidationError with a sentence for the
admin. Those that change who is in a team return the ids of the open deals for which other settings may count now: the
caller marks them for evaluation. A team of the CRM is the CRM's to change (`deals.upsert`).
"""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import Organisation
from deals.models import Colleague, Deal, Team, TeamMember

MOST_TEAMS = 200


def create(organisation: Organisation, name: str) -> Team:
    """A team without members."""
    Organisation.objects.select_for_update().get(pk=organisation.pk)  # two admins at once meet here
    if Team.objects.filter(organisation=organisation, stale=False).count() >= MOST_TEAMS:
        raise ValidationError(_("There are %(most)s teams already.") % {"most": MOST_TEAMS})
    return Team.objects.create(organisation=organisation, name=_clean_name(organisation, name))


def rename(team: Team, name: str) -> Team:
    team = _own(team)
    team.name = _clean_name(team.organisation, name, team)
    team.save(update_fields=["name"])
    return team


def delete(team: Team) -> set[int]:
    """Nobody is in it any more. Its name stays, for settings that still speak of it (as for a team gone from the CRM).

    Returns the ids of the deals that it touches.
    """
    team = _own(team)
    touched = _replace_members(team, set())
    team.stale = True
    team.save(update_fields=["stale"])
    return touched


def set_members(team: Team, colleague_ids: Collection[int]) -> set[int]:
    """These colleagues, archived ones too, and nobody else; returns the ids of the deals that it touches."""
    team = _own(team)
    wanted = set(colleague_ids)
    known = Colleague.objects.filter(organisation=team.organisation_id, pk__in=wanted).values_list("pk", flat=True)
    if strangers := wanted - set(known):
        raise ValidationError(_("There is no colleague with the number %(number)s.") % {"number": min(strangers)})
    return _replace_members(team, wanted)


def _own(team: Team) -> Team:
    """The team as it is stored, for this transaction alone; one that an admin made and nobody has deleted."""
    stored = Team.objects.select_for_update().filter(organisation=team.organisation_id, pk=team.pk).first()
    if stored is None or stored.stale:
        raise ValidationError(_("This team no longer exists."))
    if stored.source_id:
        raise ValidationError(_("This team is kept in the CRM. Change it there."))
    return stored


def _clean_name(organisation: Organisation, name: str, team: Team | None = None) -> str:
    cleaned = " ".join(name.replace("\x00", "").split())
    if not cleaned or len(cleaned) > 100:
        raise ValidationError(_("Give it a name of at most 100 characters."))
    others = Team.objects.filter(organisation=organisation, stale=False, name__iexact=cleaned)
    if team:
        others = others.exclude(pk=team.pk)
    if others.exists():
        raise ValidationError(_("There is a team of this name already."))
    return cleaned


def _replace_members(team: Team, wanted: set[int]) -> set[int]:
    members = TeamMember.objects.filter(organisation=team.organisation_id, team=team)
    before = set(members.values_list("colleague_id", flat=True))
    members.filter(colleague__in=before - wanted).delete()
    TeamMember.objects.bulk_create(
        TeamMember(organisation_id=team.organisation_id, team=team, colleague_id=pk) for pk in sorted(wanted - before)
    )
    deals = Deal.objects.filter(organisation=team.organisation_id, owner__in=before ^ wanted)
    return set(deals.open().values_list("pk", flat=True))
