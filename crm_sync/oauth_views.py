"""Signing in at a CRM: the way there, the way back, and Pipedrive's word that the app was uninstalled."""

import json
import logging

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from accounts.tenancy import tenant
from accounts.views import MemberRequest, admin_required_to_post, member_required
from crm_sync import oauth, routes, sync, wording
from crm_sync.models import Connection
from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import CrmError
from crm_sync.views import came_from, tell_connected

logger = logging.getLogger(__name__)

LONGEST_CODE = 2000  # characters; those seen have about 40
LARGEST_NOTICE = 10_000  # bytes


def _app(provider: str) -> oauth.App:
    app = oauth.app(provider) if provider in PROVIDERS else None
    if app is None:
        raise Http404
    return app


@require_POST
@never_cache
@admin_required_to_post
def oauth_start(request: MemberRequest, provider: str) -> HttpResponse:
    """A page that goes on to the CRM: a redirect would be stopped by our rule for where forms may lead (CSP)."""
    app = _app(provider)
    url = oauth.begin(app, request.org, request.user, request.session.session_key or "", came_from(request))
    context = {"section": "connection", "url": url, "crm": wording.label(provider)}
    return render(request, "crm_sync/connection_leaving.html", context)


@csrf_exempt
@login_not_required
@never_cache
@require_http_methods(["GET", "DELETE"])
def oauth_callback(request: HttpRequest, provider: str) -> HttpResponse:
    """One address, because Pipedrive knows one: people come back here, and it says here that they uninstalled."""
    if request.method == "DELETE":
        return _uninstalled(request, provider)
    if not request.user.is_authenticated:
        # Whatever the address carries belongs to another session.
        return redirect_to_login(reverse("crm_sync:connection"))
    return _come_back(request, provider)  # type: ignore[return-value]


@member_required
def _come_back(request: MemberRequest, provider: str) -> HttpResponse:
    """Ends on the page where it began, with a sentence; the address with the code is left behind."""
    if not request.membership.is_admin:
        raise PermissionDenied
    app, crm = _app(provider), {"crm": wording.label(provider)}
    state, code, refused = (request.GET.get(name, "") for name in ("state", "code", "error"))
    try:
        page = oauth.end(app, request.org, request.user, request.session.session_key or "", state)
    except oauth.UnknownState:
        text = _(
            "This answer of %(crm)s belongs to no sign-in that is open here: it may have been used already, be older "
            "than ten minutes, or have begun in another browser or organisation. Nothing was changed. Please begin "
            "once more."
        )
        messages.error(request, text % crm)
        return redirect("crm_sync:connection")
    page = page or "crm_sync:connection"
    if refused == "access_denied":
        messages.warning(request, _("You did not let Vigie into %(crm)s. Nothing was changed.") % crm)
    elif refused or not 0 < len(code) <= LONGEST_CODE:
        text = _("%(crm)s ended the sign-in without letting Vigie in. Nothing was changed. Please begin once more.")
        messages.error(request, text % crm)
    else:
        try:
            connection = sync.connect(request.org, provider, app.exchange(code), request.user)
        except CrmError as error:
            logger.warning("sign-in at %s: %s", provider, error.code)
            messages.error(request, " ".join(wording.sign_in(error, provider)))
        else:
            tell_connected(request, connection)
    return redirect(page)


def _uninstalled(request: HttpRequest, provider: str) -> HttpResponse:
    """Pipedrive: "Handling user app uninstallation". It does not read the answer; unknown accounts get the same.

    Whose connection it is comes from our own table, and each is looked for inside its organisation.
    """
    if provider != "pipedrive":
        raise Http404
    app = _app(provider)
    if not oauth.is_from_crm(app, request.headers.get("Authorization", "")):
        return HttpResponse("Unauthorized\n", status=401, content_type="text/plain")
    try:
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.body) if length <= LARGEST_NOTICE else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or body.get("client_id") != app.client_id:
        return HttpResponse("Bad request\n", status=400, content_type="text/plain")
    account, user = (_id(body.get(name)) for name in ("company_id", "user_id"))
    for organisation in routes.organisations_of(provider, account):
        with tenant(organisation):
            mine = Connection.objects.filter(
                organisation=organisation,
                source__provider=provider,
                source__account_id=account,
                method=Connection.Method.OAUTH,
                crm_user__in=["", user],  # another colleague's installation goes on
            ).exclude(state__in=[Connection.State.DISCONNECTED, Connection.State.DELETING])
            for connection in mine:
                sync.disconnect(connection, Connection.State.UNINSTALLED)
                logger.info("connection %s was uninstalled at the CRM", connection.pk)
    return HttpResponse("ok\n", content_type="text/plain")


def _id(value: object) -> str:
    return str(value) if isinstance(value, int | str) and len(str(value)) <= 100 else ""
