"""Who asks the deal list, and when: one statement for what "my deals", a team and a saved view mean to them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Membership, Organisation, User
from alerts import settings as alert_settings
from alerts.models import SavedView, StartView
from deals.clock import Clock
from deals.models import Pipeline
from deals.querysets import DealQuerySet

# In SQL: to build it with the ORM took four times as long as to run it. Who one is, as in `deals.owners`; the views,
# as in `visible`.
_READER = """
SELECT ARRAY(
    SELECT c.id FROM deals_colleague c
    LEFT JOIN deals_ownerlink l ON l.organisation_id = %(org)s AND l.colleague_id = c.id
    WHERE c.organisation_id = %(org)s AND (l.user_id = %(user)s OR (l.id IS NULL AND c.email = %(email)s))
), (
    SELECT jsonb_agg(jsonb_build_object('pk', t.id, 'name', t.name, 'people', ARRAY(
        SELECT m.colleague_id FROM deals_teammember m WHERE m.organisation_id = %(org)s AND m.team_id = t.id
    ))) FROM deals_team t WHERE t.organisation_id = %(org)s AND NOT t.stale
), (
    SELECT jsonb_agg(to_jsonb(v) ORDER BY v.is_mine DESC, v.name, v.pk) FROM (
        SELECT v.id AS pk, v.name, v.query, v.shared, v.user_id = %(user)s AS is_mine, u.name AS by_name,
               u.email AS by_email, EXISTS (
                   SELECT 1 FROM alerts_startview s
                   WHERE s.organisation_id = %(org)s AND s.user_id = %(user)s AND s.view_id = v.id
               ) AS is_start, NOT EXISTS (
                   SELECT 1 FROM accounts_membership m WHERE m.organisation_id = %(org)s AND m.user_id = v.user_id
               ) AS has_left
        FROM alerts_savedview v JOIN accounts_user u ON u.id = v.user_id
        WHERE v.organisation_id = %(org)s AND (v.user_id = %(user)s OR v.shared)
    ) v
), (SELECT to_jsonb(pipelines) FROM alerts_configuration WHERE organisation_id = %(org)s ORDER BY version DESC LIMIT 1)
"""


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
        with connection.cursor() as cursor:
            values: dict[str, int | str] = {"org": organisation.pk, "user": user.pk, "email": user.email.lower()}
            cursor.execute(_READER, values)
            [(mine, teams, views, pipelines)] = cursor.fetchall()
        teams, views, pipelines = (json.loads(found or "null") for found in (teams, views, pipelines))
        mine = frozenset(mine)
        of_teams = [TeamOf(team["pk"], team["name"], frozenset(team["people"])) for team in teams or ()]
        of_teams.sort(key=lambda team: (team.owners.isdisjoint(mine), team.name.casefold(), team.pk))
        of_views = [ViewOf(by=row.pop("by_name") or row["by_email"], **_without_address(row)) for row in views or ()]
        watched = None if pipelines is None else tuple(pipelines)
        return cls(organisation, user, clock.today, mine, tuple(of_teams), tuple(of_views), watched)

    @property
    def open_deals(self) -> DealQuerySet:
        """As `alerts.settings.open_deals`, without asking for the settings."""
        return self.organisation.deals.open().filter(alert_settings.watched({"pipelines": self.pipelines}))

    @property
    def watched_pipelines(self) -> "QuerySet[Pipeline]":
        found = Pipeline.objects.filter(organisation=self.organisation, deleted=False).order_by()
        return found if self.pipelines is None else found.filter(pk__in=self.pipelines)

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
