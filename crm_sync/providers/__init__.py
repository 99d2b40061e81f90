"""The CRMs that Vigie reads. A new one is a folder here, a name in PROVIDERS and a setting for its address."""

from django.conf import settings

from crm_sync.providers.base import Provider
from crm_sync.providers.hubspot.client import HubSpot
from crm_sync.providers.pipedrive.client import Pipedrive

PROVIDERS: dict[str, type[Provider]] = {provider.name: provider for provider in (Pipedrive, HubSpot)}


def connect(
    name: str, token: str, *, role_field: str = "", title_field: str = "", time_zone: str = "UTC", currency: str = ""
) -> Provider:
    """A provider that talks to the address in the settings. Asks nothing yet; TokenRefused if it cannot be a token."""
    base_url: str = getattr(settings, f"{name.upper()}_API_URL")
    return PROVIDERS[name](
        token,
        base_url,
        role_field=role_field,
        title_field=title_field,
        time_zone=time_zone or "UTC",
        currency=currency,
        timeout=settings.CRM_TIMEOUT,
    )
