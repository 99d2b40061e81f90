"""The CRMs that Vigie reads. A new one is a folder here, a name in PROVIDERS and a setting for its address."""

from collections.abc import Mapping

from django.conf import settings

from crm_sync.providers.base import Budget, Provider
from crm_sync.providers.hubspot.client import HubSpot
from crm_sync.providers.pipedrive.client import Pipedrive

PROVIDERS: dict[str, type[Provider]] = {provider.name: provider for provider in (Pipedrive, HubSpot)}


def connect(
    name: str,
    token: str,
    *,
    oauth: bool = False,
    api_url: str = "",
    role_field: str = "",
    title_field: str = "",
    activity_kinds: Mapping[str, str] = {},
    time_zone: str = "UTC",
    currency: str = "",
    budget: Budget | None = None,
) -> Provider:
    """A provider that talks to `api_url`, or to the address in the settings. `oauth`: the token came by signing in.

    Asks nothing yet; TokenRefused if it cannot be a token.
    """
    base_url: str = api_url or getattr(settings, f"{name.upper()}_API_URL")
    return PROVIDERS[name](
        token,
        base_url,
        oauth=oauth,
        role_field=role_field,
        title_field=title_field,
        activity_kinds=activity_kinds,
        time_zone=time_zone or "UTC",
        currency=currency,
        timeout=settings.CRM_TIMEOUT,
        budget=budget,
    )
