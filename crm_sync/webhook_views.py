"""Where the CRMs post what changed. No login, no session, no form: what counts is a signature or a secret.

A delivery is refused before anything of it is believed, and answered when it is kept: HubSpot waits for 5 seconds,
Pipedrive for 10, and both take every answer but 2xx for a failure and come again.
"""

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from crm_sync import sync, webhook_events, webhooks
from crm_sync.webhook_events import Malformed

logger = logging.getLogger(__name__)

MAX_BODY = 1_000_000  # bytes


@csrf_exempt
@login_not_required
@require_POST
def webhook_hubspot(request: HttpRequest) -> HttpResponse:
    """All portals' events. A portal that nobody watches is no error: HubSpot would send it again for a day."""
    if (body := _body(request)) is None:
        return _refuse("hubspot", 413, "too large")
    timestamp, signature = (
        request.headers.get(f"X-HubSpot-{name}", "") for name in ("Request-Timestamp", "Signature-v3")
    )
    # What HubSpot signed is the address that it knows, whatever a proxy has made of it.
    uri, now = settings.SITE_URL + request.get_full_path(), sync.now()
    secret = settings.HUBSPOT_CLIENT_SECRET
    if not webhook_events.is_signed(secret, "POST", uri, body, timestamp, signature, now):
        return _refuse("hubspot", 401, "signature")
    try:
        found = webhook_events.hubspot(body, now)
    except Malformed as error:
        return _refuse("hubspot", 400, str(error))
    webhooks.of_hubspot(found)
    return HttpResponse(status=200)


@csrf_exempt
@login_not_required
@require_POST
def webhook_pipedrive(request: HttpRequest, address: str) -> HttpResponse:
    """One connection's events: whose they are is said by the address and the password, never by the body."""
    if (body := _body(request)) is None:
        return _refuse("pipedrive", 413, "too large")
    route = webhooks.route_of(address)
    if route is None:
        return _refuse("pipedrive", 404, "unknown address")
    if not webhooks.opens(route, request.headers.get("Authorization", "")):
        return _refuse("pipedrive", 401, "password")
    try:
        company, events = webhook_events.pipedrive(body, sync.now())
    except Malformed as error:
        return _refuse("pipedrive", 400, str(error))
    if company != route.account_id:
        return _refuse("pipedrive", 403, "another company")
    webhooks.of_pipedrive(route, events)
    return HttpResponse(status=202)


def _body(request: HttpRequest) -> bytes | None:
    """None when it is larger than MAX_BODY, of which no more is read."""
    body = request.read(MAX_BODY + 1)
    return None if len(body) > MAX_BODY else body


def _refuse(crm: str, status: int, why: str) -> HttpResponse:
    logger.warning("webhook of %s refused: %s", crm, why)
    return HttpResponse(status=status)
