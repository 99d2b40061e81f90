"""What the worker does for webhooks. Tasks carry ids and run twice harmlessly; the sweep finds what nobody rang for."""

import logging
import time
from typing import Any

from celery import shared_task

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts.tasks import evaluate_changed
from crm_sync import sync, vault, webhooks
from crm_sync.providers.base import CrmError

logger = logging.getLogger(__name__)

SHIFT = 60  # seconds that one task works before it makes room for others


@shared_task
def drain(organisation_id: int, connection_id: int) -> None:
    """Work off what came in for a connection."""
    end = time.monotonic() + SHIFT
    while more := webhooks.drain(organisation_id, connection_id):
        evaluate_changed.delay(organisation_id)
        if time.monotonic() > end:
            break
    evaluate_changed.delay(organisation_id)
    if more:
        drain.delay(organisation_id, connection_id)


@shared_task
def sweep() -> None:
    """Every 30 seconds: events that nobody works off, and connections whose webhooks are to be looked at."""
    now = sync.now()
    for organisation in Organisation.objects.order_by("pk"):
        with tenant(organisation):
            waiting, unchecked = webhooks.due(organisation, now), webhooks.unchecked(organisation, now)
        for connection in waiting:
            drain.delay(organisation.pk, connection)
        for connection in unchecked:
            register.delay(organisation.pk, connection)


@shared_task
def register(organisation_id: int, connection_id: int) -> None:
    webhooks.register(organisation_id, connection_id)


@shared_task
def unregister(*arguments: Any) -> None:
    try:
        webhooks.unregister(*arguments)
    except (CrmError, vault.Unreadable) as error:
        logger.info("webhooks stay at %s: %s", arguments[0], getattr(error, "code", "token_unreadable"))


@shared_task
def forget_old() -> None:
    """Once a day: what came in more than fourteen days ago."""
    for organisation in Organisation.objects.order_by("pk"):
        while webhooks.forget_old(organisation, sync.now()):
            pass
