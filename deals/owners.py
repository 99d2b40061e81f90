"""Who a CRM user is among the members: whom an admin says (OwnerLink), else the one of the same e-mail address."""

from django.db.models import Q, QuerySet

from accounts.models import Organisation, User
from deals.models import Colleague


def colleagues_of(user: User, organisation: Organisation) -> QuerySet[Colleague]:
    """The CRM users of the organisation that `user` is, archived ones too; "my deals" are theirs."""
    by_address = Q(links=None, email=user.email.lower())  # as it is stored
    return organisation.colleagues.filter(Q(links__user=user) | by_address)


def mine(user: User, organisation: Organisation) -> tuple[int, ...]:
    """Their ids, in one statement."""
    return tuple(colleagues_of(user, organisation).order_by("pk").values_list("pk", flat=True))
