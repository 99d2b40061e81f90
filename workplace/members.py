"""Members, what they may do, and who they are in the CRM. All is done in the caller's transaction and tenant context.

What an admin asks for and cannot have raises ValidationError with a sentence for them.
"""

from collections import defaultdict
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from accounts.models import Membership, Organisation, User
from alerts.settings import open_deals
from deals.models import Colleague, OwnerLink, Team, TeamMember
from deals.owners import colleagues_of

ADDRESS, NOBODY = "", "nobody"  # how a CRM user is found among the members, beside the id of one: `link`


@dataclass(frozen=True)
class Member:
    """A member with the names of the CRM users that they are, and of the teams in which those are."""

    membership: Membership
    colleagues: list[str]
    teams: list[str]


@dataclass(frozen=True)
class Owner:
    """An active CRM user who owns open deals. `corrected`: an admin said who it is, or (`member` is None) nobody."""

    colleague: Colleague
    deals: int
    member: Membership | None
    corrected: bool


def teams_of(user: User, organisation: Organisation) -> QuerySet[Team]:
    """The teams in which one of the CRM users is that `user` is, by name."""
    mine = TeamMember.objects.filter(organisation=organisation, colleague__in=colleagues_of(user, organisation))
    return organisation.teams.filter(stale=False, pk__in=mine.values("team")).order_by("name", "pk")


def members_of(organisation: Organisation) -> list[Member]:
    """Admins first, then by name. Five statements."""
    who = _Who(organisation)
    names: dict[int, list[str]] = defaultdict(list)
    teams: dict[int, list[str]] = defaultdict(list)
    rows = TeamMember.objects.filter(organisation=organisation, team__stale=False).order_by("team__name", "team")
    for pk, team in rows.values_list("colleague", "team__name"):
        teams[pk].append(team)
    in_teams: dict[int, dict[str, None]] = defaultdict(dict)  # each once, in order
    for colleague in organisation.colleagues.order_by("name", "pk"):
        if member := who.is_(colleague):
            names[member.pk].append(colleague.name)
            in_teams[member.pk] |= dict.fromkeys(teams[colleague.pk])
    order = {role: n for n, role in enumerate(Membership.Role.values)}
    found = [Member(m, names[m.pk], list(in_teams[m.pk])) for m in who.memberships.values()]
    return sorted(found, key=lambda m: (order[m.membership.role], str(m.membership.user).casefold(), m.membership.pk))


def owners_of(organisation: Organisation) -> list[Owner]:
    """Those who are no member first, those with the most open deals first. Four statements."""
    counted = open_deals(organisation).order_by().values_list("owner").annotate(Count("pk"))
    deals: dict[int | None, int] = dict(counted)
    who = _Who(organisation)
    found = [
        Owner(colleague, deals[colleague.pk], who.is_(colleague), colleague.pk in who.said)
        for colleague in organisation.colleagues.filter(active=True)
        if colleague.pk in deals
    ]
    # Whom an admin has said to be nobody is settled.
    unsettled = {owner.colleague.pk for owner in found if not owner.member and not owner.corrected}
    return sorted(
        found,
        key=lambda owner: (
            owner.colleague.pk not in unsettled,
            -owner.deals,
            owner.colleague.name.casefold(),
            owner.colleague.pk,
        ),
    )


class _Who:
    """Which member each CRM user is. `memberships`: by user; `said`: by CRM user, the user whom an admin named."""

    def __init__(self, organisation: Organisation) -> None:
        self.memberships = {m.user_id: m for m in organisation.memberships.select_related("user")}
        links = OwnerLink.objects.filter(organisation=organisation)
        self.said: dict[int, int | None] = dict(links.values_list("colleague", "user"))
        self._by_address = {m.user.email.lower(): m for m in self.memberships.values()}

    def is_(self, colleague: Colleague) -> Membership | None:
        if colleague.pk in self.said:
            return self.memberships.get(self.said[colleague.pk] or 0)
        return self._by_address.get(colleague.email)


def link(organisation: Organisation, colleague: Colleague, choice: str) -> Membership | None:
    """Say who a CRM user is: the id of a member's user, NOBODY, or ADDRESS for whoever has the same e-mail address.

    Returns the member found.
    """
    links = OwnerLink.objects.filter(organisation=organisation, colleague=colleague)
    if choice == ADDRESS:
        links.delete()
    else:
        known = {str(user): user for user in _Who(organisation).memberships}
        if choice != NOBODY and choice not in known:
            raise ValidationError(_("This person is no longer a member. Choose somebody else."))
        OwnerLink.objects.update_or_create(
            organisation=organisation, colleague=colleague, defaults={"user_id": known.get(choice)}
        )
    return _Who(organisation).is_(colleague)


def set_role(organisation: Organisation, by: Membership, pk: int, role: str) -> Membership:
    """Give a member another role. Somebody has to remain an admin. Http404 for an unknown member."""
    member = _locked(organisation, by, pk)
    if role not in Membership.Role.values:
        raise ValidationError(_("Choose one of the roles in the list. Nothing was saved."))
    if member.is_admin and role != Membership.Role.ADMIN:
        _keep_an_admin(organisation, member)
    member.role = role
    member.save(update_fields=["role"])
    return member


def remove(organisation: Organisation, by: Membership, pk: int) -> Membership:
    """End a membership, and what came with it; the user, who may be a member elsewhere, stays. Returns what was."""
    member = _locked(organisation, by, pk)
    if member.is_admin:
        _keep_an_admin(organisation, member)
    OwnerLink.objects.filter(organisation=organisation, user=member.user).delete()
    organisation.calendar_feeds.filter(user=member.user).delete()
    Membership.objects.filter(pk=pk).delete()
    return member


def _locked(organisation: Organisation, by: Membership, pk: int) -> Membership:
    """The member as stored, while the admins of the organisation are this transaction's alone.

    `by`, who asks, must still be one of them: PermissionDenied.
    """
    admins = organisation.memberships.filter(role=Membership.Role.ADMIN).order_by("pk")
    if by.pk not in set(admins.select_for_update().values_list("pk", flat=True)):
        raise PermissionDenied
    return get_object_or_404(organisation.memberships.select_related("user").select_for_update(of=("self",)), pk=pk)


def _keep_an_admin(organisation: Organisation, but: Membership) -> None:
    if not organisation.memberships.filter(role=Membership.Role.ADMIN).exclude(pk=but.pk).exists():
        raise ValidationError(
            _("%(name)s is the only admin. Make somebody else an admin first.") % {"name": str(but.user)}
        )
