"""A forgotten password: a link by e-mail, for a day and one change. Whether an address has an account is never said."""

import redis
from axes.utils import reset as unlock
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User

EVERY = 300  # seconds: nobody fills somebody's mailbox


def user_of(email: str) -> int:
    """The id of who can log in with this address; 0 for nobody."""
    user = User.objects.filter(email__iexact=email.strip(), is_active=True).first()
    return user.pk if user and user.has_usable_password() else 0


def link_for(user: User) -> str:
    """Void once the password, the address or the time of the last login is another."""
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    return f"{settings.SITE_URL}{reverse('accounts:new_password', args=[uid, token])}"


def send_link(user_id: int, language: str) -> bool:
    """Whether a mail went out: once in five minutes at most. In the user's language, else in that of the page."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return False
    valkey = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)
    if not valkey.set(f"vigie:password:{user.pk}", 1, nx=True, ex=EVERY):
        return False
    with translation.override(user.language or language):
        text = render_to_string("accounts/new_password.txt", {"user": user, "link": link_for(user)})
        message = EmailMessage(_("A new password for Vigie"), text, to=[user.email])
    sent = mail.send(message, f"the link for a new password of user {user.pk}")
    if not sent:
        valkey.delete(f"vigie:password:{user.pk}")  # it may be asked for again at once
    return sent


def end_sessions(user: User) -> None:
    """After a new password: everywhere, and wrong attempts of before count no longer."""
    Session.objects.filter(pk__in=user.sign_ins.values("session")).delete()
    unlock(username=user.email)
