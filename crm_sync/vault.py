"""CRM tokens at rest: encrypted, and bound to the organisation and source that they belong to.

Keys are ENCRYPTION_KEYS, newest first: the first encrypts, all decrypt, so keys rotate without a stop.
"""

import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unreadable(Exception):
    """The stored token is not readable with these keys, or belongs to another organisation or source."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def seal(token: str, organisation: int, source: int) -> str:
    content = json.dumps({"organisation": organisation, "source": source, "token": token})
    return _fernet().encrypt(content.encode()).decode()


def unseal(sealed: str, organisation: int, source: int) -> str:
    try:
        content = json.loads(_fernet().decrypt(sealed.encode()))
    except InvalidToken:
        raise Unreadable("no key of ENCRYPTION_KEYS opens the stored token") from None
    if (content["organisation"], content["source"]) != (organisation, source):
        raise Unreadable("the stored token belongs elsewhere")
    token: str = content["token"]
    return token
