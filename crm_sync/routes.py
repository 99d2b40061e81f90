"""Which organisations watch an account of a CRM: for what a CRM sends us before any organisation is known.

The table is outside the walls (accounts.tenancy) and holds nothing secret: an account's number and whose it is. It says
where to look, never what may be done: whoever asks enters each organisation with `tenant()` and finds its connection.
"""

from django.db import connection

from crm_sync.models import AccountRoute
from deals.models import Source


def organisations_of(provider: str, account_id: str) -> list[int]:
    """The organisations that have, or had, a connection to this account; needs no tenant context."""
    if not account_id:
        return []
    with connection.cursor() as cursor:  # for each webhook: making the queryset took a third of its time
        cursor.execute(
            "SELECT organisation_id FROM crm_sync_accountroute WHERE provider = %s AND account_id = %s ORDER BY 1",
            [provider, account_id],
        )
        return [row[0] for row in cursor.fetchall()]


def keep(source: Source) -> None:
    """Make the account of `source` lead to its organisation; an account not known yet leads nowhere."""
    if source.account_id:
        AccountRoute.objects.get_or_create(
            organisation_id=source.organisation_id, provider=source.provider, account_id=source.account_id
        )


def forget(source: Source) -> None:
    mine = AccountRoute.objects.filter(organisation=source.organisation_id, provider=source.provider)
    mine.filter(account_id=source.account_id).delete()
