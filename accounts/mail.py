"""What all e-mails share."""

import logging

from django.conf import settings
from django.core.mail import EmailMessage

logger = logging.getLogger(__name__)


def can_send() -> bool:
    """Whether a mail server is set up."""
    return not settings.EMAIL_URL.startswith("dummymail:")


def send(message: EmailMessage, what: str) -> bool:
    """Whether a server took it. It is tried once; `what` names it in the log, without anybody's address."""
    try:
        return bool(message.send())
    except OSError as error:  # SMTPException is one. Not its words: they hold the address.
        logger.warning("%s was not sent: %s", what, type(error).__name__)
        return False
