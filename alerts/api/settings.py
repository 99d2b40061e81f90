"""The alert settings: read, save, versions, YAML, and the run that a save starts."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework import parsers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organisation
from accounts.params import whole
from alerts import exchange
from alerts import settings as alert_settings
from alerts.api.base import OrganisationView, Page
from alerts.api.protocol import read_body
from alerts.models import Configuration, Run
from alerts.rules import RULES, Rule
from alerts.rules.base import Choice, Flag, Number, Parameter, PerRole, PerStage
from alerts.settings import Draft
from alerts.tasks import start_run
from alerts.versions import Vocabulary, changes_since, differences, draft_at
from deals.models import Pipeline, Role, Stage


def shown(configuration: Configuration) -> dict[str, Any]:
    """Which version, by whom (null: nobody who is still known) and when. Version 0 is the defaults, never saved."""
    return {
        "version": configuration.version,
        "saved_by": str(configuration.saved_by) if configuration.saved_by else None,
        "saved_at": configuration.saved_at,
        "url": reverse("api:version", args=[configuration.version]),
    }


def shown_draft(organisation: Organisation, draft: Draft) -> dict[str, Any]:
    """The draft, and what it names in vain."""
    vanished = [vars(each) for each in alert_settings.vanished(organisation, draft)]
    return {"draft": draft, "vanished": vanished}


def shown_run(run: Run) -> dict[str, Any]:
    return {
        "url": reverse("api:run", args=[run.pk]),
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "done": run.done,
        "total": run.total,
    }


class SavingView(OrganisationView):
    """A view whose answer to a change is a new version in force."""

    def save(self, raw: Mapping[str, Any], based_on: int, code: int = status.HTTP_200_OK) -> Response:
        """Store it and start its run. Somebody else's save in between is told in words and overwritten by nobody."""
        organisation, clock = self.organisation, self.clock
        try:
            saved = alert_settings.save(organisation, raw, self.user, clock, based_on)
        except alert_settings.Conflict as conflict:
            return self._conflict(conflict.current, based_on)
        run = start_run(organisation, Run.Cause.SETTINGS, str(saved.version), clock)
        told = shown(saved) | shown_draft(organisation, alert_settings.draft_of(saved)) | {"run": shown_run(run)}
        return Response(told, code)

    def _conflict(self, current: Configuration, based_on: int) -> Response:
        who = str(current.saved_by or _("Somebody"))
        told = {
            "code": "conflict",
            "detail": _("%(who)s saved other settings meanwhile; nothing was saved.") % {"who": who},
            "current": shown(current) | {"draft": alert_settings.draft_of(current)},
            "changes": changes_since(self.organisation, based_on, current),
        }
        return Response(told, status.HTTP_409_CONFLICT)


def based_on(values: Mapping[str, Any]) -> int:
    """The version that a change was made from. Without it nobody could tell what it would overwrite."""
    version = values.get("based_on")
    if isinstance(version, str):
        version = whole(version)
    if not isinstance(version, int) or isinstance(version, bool):
        raise ValidationError({"based_on": [_("Say from which version this was made.")]})
    return version


class SettingsView(SavingView):
    def get(self, request: Request) -> Response:
        current = alert_settings.current(self.organisation)
        run = self.organisation.runs.filter(cause=Run.Cause.SETTINGS, finished_at=None).order_by("-pk").first()
        told = shown(current) | shown_draft(self.organisation, alert_settings.draft_of(current))
        return Response(told | {"run": shown_run(run) if run else None})

    def put(self, request: Request) -> Response:
        return self.save({k: v for k, v in self.sent.items() if k != "based_on"}, based_on(self.sent))


class ChoicesView(OrganisationView):
    """What settings may say: the rules with their parameters and bounds, and what the CRM has at present."""

    def get(self, request: Request) -> Response:
        mine = {"organisation": self.organisation}
        stages = Stage.objects.filter(**mine, deleted=False, closed=False).order_by("position", "pk")
        by_pipeline: dict[int | None, list[dict[str, Any]]] = {}
        for stage in stages:
            by_pipeline.setdefault(stage.pipeline_id, []).append({"id": stage.pk, "name": stage.name})
        pipelines = Pipeline.objects.filter(**mine, deleted=False).order_by("position", "pk")
        teams = self.organisation.teams.filter(stale=False).order_by("name", "pk")
        colleagues = self.organisation.colleagues.order_by("name", "pk")
        roles = Role.objects.filter(**mine, stale=False).order_by("key").values_list("key", "label")
        return Response(
            {
                "rules": [_rule(rule) for rule in RULES],
                "pipelines": [{"id": p.pk, "name": p.name, "stages": by_pipeline.get(p.pk, [])} for p in pipelines],
                "teams": [{"id": team.pk, "name": team.name} for team in teams],
                "roles": [{"key": key, "label": label} for key, label in dict(roles).items()],
                "colleagues": [{"id": c.pk, "name": c.name, "email": c.email, "active": c.active} for c in colleagues],
            }
        )


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "kind": rule.kind,
        "title": str(rule.title),
        "description": str(rule.description),
        "family": rule.family,
        "critical": rule.critical,
        "parameters": {name: _parameter(parameter) for name, parameter in rule.parameters.items()},
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {"label": str(parameter.label), "type": TYPES[type(parameter)]}
    match parameter:
        case PerStage() | PerRole():
            return told | {"default": {}, "min": parameter.of.min, "max": parameter.of.max}
        case Number():
            told |= {"min": parameter.min, "max": parameter.max}
        case Choice():
            told["choices"] = [{"value": value, "label": str(label)} for value, label in parameter.choices]
    return told | {"default": parameter.default}


TYPES = {Number: "number", Flag: "flag", Choice: "choice", PerStage: "number per stage", PerRole: "number per role"}


class RunView(OrganisationView):
    def get(self, request: Request, pk: int) -> Response:
        return Response(shown_run(get_object_or_404(self.organisation.runs, pk=pk)))


class VersionsView(OrganisationView):
    """Newest first, each with what it changed in the one before."""

    def get(self, request: Request) -> Response:
        page = Page.of(request)
        stored = self.organisation.configurations.select_related("saved_by").order_by("-version")
        # One more: what the oldest of the page changed.
        found = list(stored[page.start : page.start + page.size + 1])
        drafts = [alert_settings.draft_of(each) for each in found]
        if len(found) <= page.size and (defaults := draft_at(self.organisation, 0)):
            drafts.append(defaults)
        names = Vocabulary.of(self.organisation)
        versions = [
            shown(each) | {"changes": differences(before, draft, names)}
            for each, draft, before in zip(found[: page.size], drafts, drafts[1:], strict=False)
        ]
        return page.answer(request, stored.count(), versions)


class VersionView(SavingView):
    def get(self, request: Request, version: int) -> Response:
        return Response(shown(self.configuration(version)) | shown_draft(self.organisation, self.draft(version)))

    def configuration(self, version: int) -> Configuration:
        if version == 0:
            return Configuration(organisation=self.organisation, version=0)
        return get_object_or_404(self.organisation.configurations.select_related("saved_by"), version=version)

    def draft(self, version: int) -> Draft:
        if (draft := draft_at(self.organisation, version)) is None:
            raise Http404
        return draft


class RestoreView(VersionView):
    http_method_names = ["post"]

    def post(self, request: Request, version: int) -> Response:
        """A new version equal to an old one. What has vanished since stays in it and is told."""
        return self.save(self.draft(version), based_on(self.sent))


class YAMLParser(parsers.BaseParser):
    """The text as it is; `alerts.exchange` reads it."""

    media_type = "application/yaml"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return read_body(stream, exchange.MOST_BYTES)


class TextParser(YAMLParser):
    media_type = "text/*"


class ExportView(OrganisationView):
    def get(self, request: Request) -> HttpResponse:
        current = alert_settings.current(self.organisation)
        text = exchange.write(alert_settings.draft_of(current), Vocabulary.of(self.organisation))
        name = f"alerts-{current.version}.yaml"
        return HttpResponse(
            text,
            content_type="application/yaml; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class ImportView(SavingView):
    """The text itself, or a form with the file as "file". `?dry_run` only says what it would change."""

    parser_classes = [YAMLParser, TextParser, parsers.MultiPartParser]

    def post(self, request: Request) -> Response:
        draft = exchange.load(self.organisation, self._text())
        if "dry_run" not in request.query_params:
            return self.save(draft, based_on(request.query_params))
        current = alert_settings.current(self.organisation)
        changes = differences(alert_settings.draft_of(current), draft, Vocabulary.of(self.organisation))
        return Response({"based_on": current.version, "changes": changes} | shown_draft(self.organisation, draft))

    def _text(self) -> bytes:
        if isinstance(self.request.data, bytes):
            return self.request.data
        if (file := self.request.FILES.get("file")) is None:
            raise ValidationError({"file": [_("Choose a file.")]})
        return read_body(file, exchange.MOST_BYTES)
