"""Teams: those of the CRM are read, an admin's own are made, changed and deleted."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from django.db.models.functions import Lower
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import queue
from alerts.api.base import OrganisationView
from alerts.tasks import evaluate_changed
from deals import teams
from deals.models import Team, TeamMember

Result = TypeVar("Result")


def shown(team: Team) -> dict[str, Any]:
    members = [{"id": m.colleague.pk, "name": m.colleague.name} for m in team.members.all()]
    return {"id": team.pk, "name": team.name, "own": team.source_id is None, "members": members}


class TeamsView(OrganisationView):
    def get(self, request: Request) -> Response:
        found = self.teams.order_by(Lower("name"), "pk")
        return Response({"count": len(found), "results": [shown(team) for team in found]})

    def post(self, request: Request) -> Response:
        team = about("name", teams.create, self.organisation, self._name())
        if "members" in self.sent:
            self.mark(about("members", teams.set_members, team, self._members()))
        return Response(shown(self.teams.get(pk=team.pk)), status.HTTP_201_CREATED)

    @property
    def teams(self) -> Any:
        """Those that still exist, with their members: three statements."""
        members = TeamMember.objects.filter(organisation=self.organisation).select_related("colleague")
        ordered = members.order_by(Lower("colleague__name"), "colleague_id")
        return self.organisation.teams.filter(stale=False).prefetch_related(Prefetch("members", ordered))

    def mark(self, deals: Iterable[int]) -> None:
        """Other settings may count for these deals now."""
        queue.mark(self.organisation, deals)
        evaluate_changed.delay_on_commit(self.organisation.pk)  # type: ignore[attr-defined]

    def _name(self) -> str:
        name = self.sent.get("name")
        if not isinstance(name, str):
            raise ValidationError({"name": [_("Give it a name of at most 100 characters.")]})
        return name

    def _members(self) -> list[int]:
        ids = self.sent.get("members")
        if not isinstance(ids, list) or not all(type(pk) is int and 0 <= pk < 2**63 for pk in ids):
            raise ValidationError({"members": [_("Give a list of the numbers of colleagues.")]})
        return ids


class TeamView(TeamsView):
    http_method_names = ["get", "head", "patch", "delete"]

    def get(self, request: Request, pk: int) -> Response:  # type: ignore[override]
        return Response(shown(self._team(pk)))

    def patch(self, request: Request, pk: int) -> Response:
        """`name`, `members` or both; the members are replaced as a whole."""
        team = self._team(pk)
        if not self.sent.keys() & {"name", "members"}:
            raise exceptions.ParseError
        if "name" in self.sent:
            about("name", teams.rename, team, self._name())
        if "members" in self.sent:
            self.mark(about("members", teams.set_members, team, self._members()))
        return Response(shown(self._team(pk)))

    def delete(self, request: Request, pk: int) -> Response:
        self.mark(about("", teams.delete, self._team(pk)))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _team(self, pk: int) -> Team:
        team: Team = get_object_or_404(self.teams, pk=pk)
        return team


def about(field: str, change: Callable[..., Result], *arguments: Any) -> Result:
    """`change`, whose refusal is told about `field`."""
    try:
        return change(*arguments)
    except ValidationError as error:
        raise ValidationError({field: error.messages}) from error
