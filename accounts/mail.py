"""What all e-mails share."""

from django.conf import settings


def can_send() -> bool:
    """Whether a mail server is set up."""
    return not settings.EMAIL_URL.startswith("dummymail:")
