"""Who asks the deal list, and when: one statement for what "my deals", a team and a saved view mean to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject

from accounts.models import Membership, Organisation, User
from alerts import settings as alert_settings
from alerts.models import Configuration, SavedView, StartView
from deals import owners
from deals.clock import Clock
from deals.models import Team
from deals.querysets import DealQuerySet


@dataclass(frozen=True)
class TeamOf:
    """A team and the owners (ids of colleagues) in it."""

    pk: int
    name: str
    owners: frozenset[int]


@dataclass(frozen=True)
class ViewOf:
    """A saved view that the reader sees. `query`: as in SavedView. `by`: who made it; `has_left`: and is no member now.
    `is_start`: the reader's list opens with it."""

    pk: int
    name: str
    query: str
    shared: bool
    by: str
    is_mine: bool
    is_start: bool
    has_left: bool


@dataclass(frozen=True)
class Reader:
    """`mine`: the owners that the reader is; `teams` and `views`: their own first. `pipelines`: those that alerts watch
    (ids), None for all."""

    organisation: Organisation
    user: User
    today: date
    mine: frozenset[int] = frozenset()
    teams: tuple[TeamOf, ...] = ()
    views: tuple[ViewOf, ...] = ()
    pipelines: tuple[int, ...] | None = None

    @classmethod
    def of(cls, organisation: Organisation, user: User, clock: Clock) -> "Reader":
        """One statement."""
        teams_found = Team.objects.filter(organisation=organisation, stale=False).annotate(
            people=ArrayAgg("members__colleague", filter=Q(members__isnull=False), default=[])
        )
        names = ("pk", "name", "query", "shared", "is_mine", "is_start", "has_left")
        author = {"by_name": "user__name", "by_email": "user__email"}
        settings = Configuration.objects.filter(organisation=organisation).order_by("-version")
        [(mine, teams, views, pipelines)] = Organisation.objects.filter(pk=organisation.pk).values_list(
            ArraySubquery(owners.colleagues_of(user, organisation).values("pk")),
            ArraySubquery(teams_found.order_by().values(row=JSONObject(pk="pk", name="name", people="people"))),
            ArraySubquery(
                visible(organisation, user).values(row=JSONObject(**{name: name for name in names}, **author))
            ),
            Subquery(settings.values("pipelines")[:1]),
        )
        mine = frozenset(mine)
        of_teams = [TeamOf(team["pk"], team["name"], frozenset(team["people"])) for team in teams]
        of_teams.sort(key=lambda team: (team.owners.isdisjoint(mine), team.name.casefold(), team.pk))
        of_views = [ViewOf(by=row.pop("by_name") or row["by_email"], **_without_address(row)) for row in views]
        watched = None if pipelines is None else tuple(pipelines)
        return cls(organisation, user, clock.today, mine, tuple(of_teams), tuple(of_views), watched)

    @property
    def open_deals(self) -> DealQuerySet:
        """As `alerts.settings.open_deals`, without asking for the settings."""
        return self.organisation.deals.open().filter(alert_settings.watched({"pipelines": self.pipelines}))

    def owners_in(self, teams: Iterable[str]) -> frozenset[int]:
        """Of these teams (ids as text); unknown ones have nobody."""
        chosen = set(teams)
        return frozenset().union(*(team.owners for team in self.teams if str(team.pk) in chosen))

    @property
    def owners_in_teams(self) -> frozenset[int]:
        return frozenset().union(*(team.owners for team in self.teams))


def _without_address(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "by_email"}


def visible(organisation: Organisation, user: User) -> "QuerySet[SavedView, Any]":
    """One's own saved views first, then the shared ones of others, by name; with what `ViewOf` says of them."""
    starts = StartView.objects.filter(organisation=organisation, user=user, view=OuterRef("pk"))
    members = Membership.objects.filter(organisation=organisation, user=OuterRef("user"))
    return (
        SavedView.objects.filter(Q(user=user) | Q(shared=True), organisation=organisation)
        .annotate(is_mine=Q(user=user), is_start=Exists(starts), has_left=~Exists(members))
        .order_by("-is_mine", "name", "pk")
    )
