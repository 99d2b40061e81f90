"""What the worker does for people. Tasks carry ids and run twice harmlessly."""

import logging
from datetime import UTC, datetime

from celery import shared_task

from accounts.mail import can_send
from accounts.models import Membership, Organisation
from workplace import digest

logger = logging.getLogger(__name__)


@shared_task
def send_digests() -> None:
    """Find whose morning has come. A mail that failed is still due, and found again."""
    now = datetime.now(UTC)
    wanted = Membership.objects.exclude(digest=Membership.Digest.NEVER).select_related("user", "organisation")
    if can_send():
        for membership in wanted.order_by("pk"):
            if digest.due(membership, now):
                send_digest.delay(membership.organisation_id, membership.pk)


@shared_task
def send_digest(organisation_id: int, membership_id: int) -> None:
    organisation = Organisation.objects.get(pk=organisation_id)
    try:
        digest.send(organisation, membership_id, datetime.now(UTC))
    except OSError as error:  # SMTPException is one. Not its words: they hold the address.
        logger.warning(
            "the digest of member %s of organisation %s was not sent: %s",
            membership_id,
            organisation_id,
            type(error).__name__,
        )
