"""Invitations: a signed link by e-mail, for seven days and one person.

All is done in the caller's transaction and tenant context.
"""

from datetime import datetime, timedelta

from django.core import signing
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import Membership, Organisation, User
from workplace.models import Invitation

VALID = timedelta(days=7)
MOST_OPEN = 100  # an organisation is no way to write to strangers
SIGNER = signing.Signer(salt="workplace.invitations")


class NoInvitation(Exception):
    """The link is forged, or its invitation was withdrawn, replaced, used or has run out."""


def invite(organisation: Organisation, email: str, role: str, by: User, now: datetime) -> Invitation:
    """Raises ValidationError with a sentence for the admin."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)  # two admins at once meet here
    email = email.strip().lower()
    if organisation.memberships.filter(user__email__iexact=email).exists():
        raise ValidationError(_("%(email)s is a member already.") % {"email": email})
    open_ones = organisation.invitations.filter(accepted_at=None)
    if open_ones.filter(email=email).exists():
        raise ValidationError(
            _("%(email)s has been invited already. Send the invitation again below.") % {"email": email}
        )
    if open_ones.count() >= MOST_OPEN:
        raise ValidationError(
            _("There are %(most)s open invitations already. Withdraw some first.") % {"most": MOST_OPEN}
        )
    return Invitation.objects.create(
        organisation=organisation, email=email, role=role, invited_by=by, invited_at=now, expires_at=now + VALID
    )


def renew(invitation: Invitation, by: User, now: datetime) -> None:
    """Seven days from now on; links that were sent before are void."""
    invitation.invited_by, invitation.invited_at, invitation.expires_at = by, now, now + VALID
    invitation.save(update_fields=["invited_by", "invited_at", "expires_at"])


def token_of(invitation: Invitation) -> str:
    """What its link carries: the organisation, the invitation and when it was sent, signed."""
    sent = int(invitation.invited_at.timestamp())
    return SIGNER.sign_object([invitation.organisation_id, invitation.pk, sent])


def organisation_of(token: str) -> int:
    """The id of the organisation that a link is for. Raises NoInvitation when it is forged."""
    return _read(token)[0]


def find(organisation: Organisation, token: str, now: datetime, *, lock: bool = False) -> Invitation:
    """The open invitation of a link. Raises NoInvitation."""
    _organisation, pk, sent = _read(token)
    found = organisation.invitations.filter(pk=pk, accepted_at=None, expires_at__gt=now).select_related("invited_by")
    invitation: Invitation | None = (found.select_for_update(of=("self",)) if lock else found).first()
    if invitation is None or int(invitation.invited_at.timestamp()) != sent:
        raise NoInvitation
    return invitation


def _read(token: str) -> tuple[int, int, int]:
    try:
        organisation, pk, sent = SIGNER.unsign_object(token)
    except (signing.BadSignature, ValueError) as error:
        raise NoInvitation from error
    return organisation, pk, sent


def accept(invitation: Invitation, user: User, now: datetime) -> Membership:
    """Make `user` a member, once; who is one already keeps the role. `find` must have locked the invitation."""
    membership, _created = Membership.objects.get_or_create(
        user=user, organisation=invitation.organisation, defaults={"role": invitation.role}
    )
    invitation.accepted_at = now
    invitation.save(update_fields=["accepted_at"])
    return membership


def send(invitation: Invitation, link: str) -> bool:
    """Send the link by e-mail, in the language of the organisation; whether a server took it."""
    organisation = invitation.organisation
    with translation.override(organisation.language):
        context = {"invitation": invitation, "organisation": organisation, "link": link}
        subject = _("Join %(organisation)s on Vigie") % {"organisation": " ".join(organisation.name.split())}
        message = EmailMessage(subject, render_to_string("workplace/invitation.txt", context), to=[invitation.email])
    return mail.send(message, f"invitation {invitation.pk} of organisation {organisation.pk}")
