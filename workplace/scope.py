"""Whose deals a page is about: filters by owner, team and pipeline, as the address bar asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext as _

from accounts.models import Organisation, User
from alerts.coming import NOBODY
from deals import owners
from deals.models import Pipeline, TeamMember

OWN, NONE = "me", "none"  # as an owner, beside the ids


@dataclass(frozen=True)
class Option:
    value: str
    label: str


@dataclass(frozen=True)
class Filter:
    """A select of the page; `chosen` is the value of one of its options."""

    name: str
    label: str
    options: list[Option]
    chosen: str = ""

    @property
    def chosen_label(self) -> str:
        """Empty for the first option, which is everything."""
        return next((option.label for option in self.options[1:] if option.value == self.chosen), "")


@dataclass(frozen=True)
class Scope:
    """`owners`, `team` (its members) and `pipeline` hold ids, None for all. Unknown values were left out: `refused`."""

    filters: list[Filter]
    owners: frozenset[int] | None = None
    team: frozenset[int] | None = None
    pipeline: int | None = None
    own: frozenset[int] = frozenset()  # who the reader is
    names: Mapping[int, str] = field(default_factory=dict)  # of owners
    teams: Mapping[int, str] = field(default_factory=dict)
    members: Mapping[int, frozenset[int]] = field(default_factory=dict)  # of teams
    refused: tuple[str, ...] = ()

    @property
    def sellers(self) -> frozenset[int] | None:
        """The owners who are in the team."""
        if self.owners is None or self.team is None:
            return self.team if self.owners is None else self.owners
        return self.owners & self.team

    @property
    def of_team(self) -> Q:
        """The deals of the team and the pipeline, whoever's they are."""
        q = Q() if self.team is None else Q(owner__in=self.team)
        return q if self.pipeline is None else q & Q(pipeline=self.pipeline)

    @property
    def params(self) -> list[tuple[str, str]]:
        return [(each.name, each.chosen) for each in self.filters if each.chosen]

    def owner_name(self, pk: int) -> str:
        return self.names.get(pk) or _("No owner")


def read_scope(organisation: Organisation, user: User, data: QueryDict, *, own_first: bool = False) -> Scope:
    """The scope that `data` asks for. Four statements.

    `own_first`: when nothing is said of an owner and the reader is one, it is their own deals.
    """
    own = frozenset(owners.mine(user, organisation))
    colleagues = list(organisation.colleagues.order_by("name", "pk").values_list("pk", "name", "active"))
    pipelines = dict(Pipeline.objects.filter(organisation=organisation, deleted=False).values_list("pk", "name"))
    teams: dict[int, str] = {}
    members: dict[int, frozenset[int]] = {}
    rows = TeamMember.objects.filter(organisation=organisation, team__stale=False).order_by("team__name", "team_id")
    for pk, name, colleague in rows.values_list("team_id", "team__name", "colleague_id"):
        teams[pk] = name
        members[pk] = members.get(pk, frozenset()) | {colleague}

    refused: list[str] = []

    def choose(name: str, known: Mapping[str, str], sentence: str) -> str:
        value = data.get(name, "")
        if value and value not in known:
            refused.append(sentence % {"value": value[:80]})
            return ""
        return value

    names = {pk: name for pk, name, _active in colleagues}
    asked = data.get("owner", "")
    sellers = {str(pk): name for pk, name, active in colleagues if active or str(pk) == asked}
    special = {OWN: _("My own deals"), NONE: _("No owner")}
    everybody = "all" if own_first and own else ""
    owner = choose("owner", {**sellers, **special, "all": ""}, _("There is no owner “%(value)s”; all are shown."))
    if everybody and "owner" not in data:
        owner = OWN
    owner = "" if owner == "all" else owner
    team = choose("team", {str(pk): n for pk, n in teams.items()}, _("There is no team “%(value)s”; all are shown."))
    pipeline = choose(
        "pipeline", {str(pk): n for pk, n in pipelines.items()}, _("There is no pipeline “%(value)s”; all are shown.")
    )
    of_owner = {everybody: _("All owners"), **({OWN: special[OWN]} if own or owner == OWN else {}), **sellers}
    filters = [
        Filter("owner", _("Owner"), _options({**of_owner, NONE: special[NONE]}), owner or everybody),
        Filter("team", _("Team"), _options({"": _("All teams"), **teams}), team),
        Filter("pipeline", _("Pipeline"), _options({"": _("All pipelines"), **pipelines}), pipeline),
    ]
    special_ids = {"": None, OWN: own, NONE: frozenset({NOBODY})}
    return Scope(
        filters=[each for each in filters if len(each.options) > (2 if each.name == "pipeline" else 1)],
        owners=special_ids[owner] if owner in special_ids else frozenset({int(owner)}),
        team=members[int(team)] if team else None,
        pipeline=int(pipeline) if pipeline else None,
        own=own,
        names=names,
        teams=teams,
        members=members,
        refused=tuple(refused),
    )


def _options(labels: Mapping[Any, str]) -> list[Option]:
    return [Option(str(value), label) for value, label in labels.items()]
