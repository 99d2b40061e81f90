"""The page on which an admin sees and corrects what Vigie makes of a CRM's records.

Types of activities and fields of each connection, and the organisation's own mail domains. Every member may read it.
"""

from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.views import MemberRequest, admin_required_to_post, member_required
from crm_sync import activity_types, reapplying, sync, vault, wording
from crm_sync.forms import DomainsForm, FieldsForm, TypesForm
from crm_sync.models import ActivityType, Connection, Reapplication, SyncRun
from crm_sync.providers.base import CrmError
from deals import domains

STOP_POLLING = 286


@dataclass(frozen=True)
class ShownMapping:
    """What one connection's records are taken for. `conflict`: the types that are something else than the admin says.

    `types` and `fields` are None where the CRM needs no such choice (HubSpot) or cannot be asked (`problem`).
    """

    connection: Connection
    crm: str
    types: TypesForm | None = None
    fields: FieldsForm | None = None
    problem: str = ""
    conflict: list[tuple[ActivityType, str]] | None = None
    fields_conflict: bool = False

    @property
    def chooses(self) -> bool:
        """Whether its users make types and fields of their own."""
        return self.connection.provider == "pipedrive"

    @property
    def connected(self) -> bool:
        return self.connection.state == Connection.State.CONNECTED

    @property
    def suggested(self) -> int:
        return sum(bool(each.suggestion) for each in self.types.types) if self.types else 0

    @property
    def new(self) -> int:
        return sum(each.is_new for each in self.types.types) if self.types else 0


@require_safe
@member_required
def mapping_page(request: MemberRequest) -> HttpResponse:
    return _page(request)


@require_safe
@member_required
def mapping_progress(request: MemberRequest) -> HttpResponse:
    """The part that is asked every two seconds while a change is being applied."""
    context = _progress(request)
    code = 200 if context["under_way"] else STOP_POLLING
    return render(request, "crm_sync/mapping.html#progress", context, status=code)


@require_POST
@admin_required_to_post
def mapping_domains(request: MemberRequest) -> HttpResponse:
    """Say which mail domains are the organisation's own; all of the form or nothing."""
    organisation = request.org
    listed = domains.listing(organisation)
    form = DomainsForm(request.POST, listed=[*{each.name: None for each in listed}, *request.POST.getlist("own")])
    if not form.is_valid():
        return _page(request, domain_form=form, status=422)
    wanted, at = [*form.cleaned_data["own"], *form.cleaned_data["more"]], sync.now()
    try:
        changed = domains.choose(organisation, wanted, request.user, at, form.cleaned_data["version"])
    except ValidationError as error:
        form.add_error("more", error)
        return _page(request, domain_form=form, status=422)
    except domains.Conflict:
        return _page(request, domain_form=form, domains_conflict=True, status=409)
    if changed:
        reapplying.begin_domains(organisation, at, changed)
        messages.success(request, _("Saved. Past calls and meetings are being looked at anew."))
    else:
        messages.success(request, _("Saved. Nothing is different."))
    return redirect("crm_sync:mapping")


@require_POST
@admin_required_to_post
def mapping_types(request: MemberRequest, pk: int) -> HttpResponse:
    """Say what the types of a connection's activities are."""
    connection = _connection(request, pk)
    types = _types(connection)
    form = TypesForm(request.POST, types=types)
    if not form.is_valid():
        return _page(request, mapping=_shown(connection, form), status=422)
    version = form.cleaned_data["version"]
    try:
        changed = activity_types.choose(connection, form.chosen, request.user, sync.now(), version)
    except activity_types.Conflict:
        labels = dict(ActivityType.Kind.choices)
        other = [(each, str(labels[form.chosen[each.pk]])) for each in types if _differs(form, each)]
        return _page(request, mapping=replace(_shown(connection, form), conflict=other), status=409)
    if changed:
        messages.success(request, _("Saved. Activities are being brought up to date."))
    else:
        messages.success(request, _("Saved. Nothing is different."))
    return redirect("crm_sync:mapping")


@require_POST
@admin_required_to_post
def mapping_fields(request: MemberRequest, pk: int) -> HttpResponse:
    """Where the CRM has no role or job title of its own: say which of its fields hold them."""
    connection = Connection.objects.select_for_update(of=("self",)).get(pk=_connection(request, pk).pk)
    mapping = _with_fields(_shown(connection), request.POST)
    form = mapping.fields
    if form is None or not form.is_valid():
        return _page(request, mapping=mapping, status=422)
    if form.cleaned_data["version"] != connection.mapping_version:
        return _page(request, mapping=replace(mapping, fields_conflict=True), status=409)
    sync.save_fields(mapping.connection, form.cleaned_data["role_field"], form.cleaned_data["title_field"])
    messages.success(request, _("Saved. The people are being read again."))
    return redirect("crm_sync:mapping")


def _connection(request: MemberRequest, pk: int) -> Connection:
    connections = Connection.objects.filter(organisation=request.org).select_related("source")
    return get_object_or_404(connections, pk=pk)


def _types(connection: Connection) -> list[ActivityType]:
    """The new ones first, those that the CRM deactivated last."""
    types = ActivityType.objects.filter(connection=connection).select_related("chosen_by")
    return list(types.order_by("-is_new", "-active", "name", "key"))


def _differs(form: TypesForm, each: ActivityType) -> bool:
    return form.chosen.get(each.pk, each.kind) != each.kind


def _shown(connection: Connection, form: TypesForm | None = None) -> ShownMapping:
    if connection.provider != "pipedrive":
        return ShownMapping(connection, wording.label(connection.provider))
    types = form or TypesForm(types=_types(connection), initial={"version": connection.mapping_version})
    return ShownMapping(connection, wording.label(connection.provider), types)


def _with_fields(mapping: ShownMapping, data: Any = None) -> ShownMapping:
    """With the CRM's fields to choose from: it is asked for them."""
    connection = mapping.connection
    if not (mapping.chooses and mapping.connected):
        return mapping
    try:
        fields = sync.provider_of(connection).fields()
    except (CrmError, vault.Unreadable) as error:
        code = getattr(error, "code", "token_unreadable")
        return replace(mapping, problem=" ".join(wording.problem(code, connection.provider)))
    initial = {"role_field": connection.role_field, "title_field": connection.title_field}
    return replace(mapping, fields=FieldsForm(data, fields=fields, initial=initial))


def _progress(request: MemberRequest) -> dict[str, Any]:
    """What of earlier changes is still being applied here, or read again at the CRM."""
    mine = {"organisation": request.org, "finished_at": None}
    applied = list(Reapplication.objects.filter(**mine).select_related("connection__source").order_by("pk"))
    runs = SyncRun.objects.filter(**mine, kind=SyncRun.Kind.FIELDS, connection__state=Connection.State.CONNECTED)
    read = list(runs.select_related("connection__source").order_by("pk"))
    return {"applied": applied, "read": read, "under_way": bool(applied or read)}


def _page(
    request: MemberRequest,
    *,
    mapping: ShownMapping | None = None,
    domain_form: DomainsForm | None = None,
    domains_conflict: bool = False,
    status: int = 200,
) -> HttpResponse:
    """The page, with one of its forms as it was sent."""
    organisation = request.org
    connections = Connection.objects.filter(organisation=organisation).select_related("source")
    living = connections.exclude(state=Connection.State.DELETING).order_by("source__provider", "pk")
    given = mapping.connection.pk if mapping else None
    shown = [mapping if mapping and each.pk == given else _shown(each) for each in living]
    sent = request.POST.getlist("own") if domain_form else []
    listed = domains.listing(organisation, [name for name in sent if len(name) <= 253])
    if domain_form is None:
        domain_form = DomainsForm(
            listed=[each.name for each in listed], initial={"version": domains.version(organisation)}
        )
        sent = [each.name for each in listed if each.own]
    context = {
        "section": "connection",
        "mappings": [each if each.fields or each.problem else _with_fields(each) for each in shown],
        "domain_form": domain_form,
        "domains": [(each, each.name in sent) for each in listed],
        "domains_chosen": domains.chosen(organisation),
        "domains_conflict": sorted(domains.own(organisation)) if domains_conflict else None,
        "version": domains.version(organisation),
        **_progress(request),
    }
    return render(request, "crm_sync/mapping.html", context, status=status)
