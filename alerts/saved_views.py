"""Saved views of the deal list: a member's own and those that others share, and the one with which a list opens.

Functions that change something run in the caller's transaction and tenant context, and raise ValidationError with a
sentence for the reader.
"""

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import Membership, Organisation, User
from alerts.deal_query import LONGEST, DealQuery
from alerts.models import SavedView, StartView
from alerts.reader import ViewOf
from deals.clock import Clock

MOST = 100  # of one's own; and shared ones in an organisation
NAME_LENGTH = 60


def query_of(view: SavedView | ViewOf) -> DealQuery:
    """What it asks; of what is wrong with it, nothing."""
    return DealQuery.stored(view.query).with_(saved=view.pk)


def may_change(view: SavedView, user: User) -> bool:
    return view.user_id == user.pk


def may_delete(view: SavedView, member: Membership) -> bool:
    return view.user_id == member.user_id or (view.shared and member.is_admin)


def create(
    organisation: Organisation, user: User, name: str, shared: bool, query: DealQuery, clock: Clock
) -> SavedView:
    _keep_few(organisation, user, shared, new=True)
    view = SavedView(organisation=organisation, user=user, created_at=clock.now)
    return _write(view, name, shared, query)


def change(view: SavedView, name: str, shared: bool, query: DealQuery | None = None) -> SavedView:
    """Another name or reach; and what it asks, when `query` is given."""
    if shared and not view.shared:
        _keep_few(view.organisation, view.user, shared, new=False)
    return _write(view, name, shared, query or DealQuery.stored(view.query))


def delete(view: SavedView) -> None:
    view.delete()


def start_with(view: SavedView, user: User) -> None:
    StartView.objects.update_or_create(organisation_id=view.organisation_id, user=user, defaults={"view": view})


def start_plain(organisation: Organisation, user: User) -> None:
    """The list opens with all open deals again."""
    StartView.objects.filter(organisation=organisation, user=user).delete()


def _keep_few(organisation: Organisation, user: User, shared: bool, *, new: bool) -> None:
    views = SavedView.objects.filter(organisation=organisation)
    if new and views.filter(user=user).count() >= MOST:
        raise ValidationError(_("You have %(most)s saved views already. Delete one first.") % {"most": MOST})
    if shared and views.filter(shared=True).count() >= MOST:
        raise ValidationError(_("%(most)s views are shared already. Keep this one private.") % {"most": MOST})


def _write(view: SavedView, name: str, shared: bool, query: DealQuery) -> SavedView:
    cleaned = " ".join(name.replace("\x00", "").split())
    if not cleaned or len(cleaned) > NAME_LENGTH:
        raise ValidationError(_("Give it a name of at most %(most)s characters.") % {"most": NAME_LENGTH})
    if len(query.text) > LONGEST:
        raise ValidationError(_("These are too many filters for a saved view."))
    mine = SavedView.objects.filter(organisation=view.organisation_id, user=view.user_id)
    taken = ValidationError(_("You already have a view named “%(name)s”.") % {"name": cleaned})
    if mine.filter(name__iexact=cleaned).exclude(pk=view.pk).exists():
        raise taken
    view.name, view.shared, view.query = cleaned, shared, query.text
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError:  # in another tab, at the same moment
        raise taken from None
    return view
