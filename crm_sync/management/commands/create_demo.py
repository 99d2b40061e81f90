import json
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand

from accounts.models import Membership, Organisation, User
from accounts.tenancy import tenant
from alerts import settings as alert_settings
from crm_sync import sync
from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import CrmError
from deals import rates
from deals.clock import Clock

PASSWORD = "vigie-demo-2026"  # noqa: S105 - printed at every start: the demo listens on this machine only
ROLES = ("champion", "decision maker")
# Into the currency of each organisation; one that has none shows what pages say then.
RATES = {"EUR": {"USD": "0.92", "GBP": "1.17"}, "GBP": {"EUR": "0.855", "USD": "0.787", "CHF": "0.91"}}
# The reps are users of the sandbox CRMs, so that deals are theirs.
SELLERS = "boreal-solutions.example"
DEMO = {
    "pipedrive": (
        {
            "name": "Atelier Numérique",
            "time_zone": "Europe/Paris",
            "country": "FR",
            "currency": "EUR",
            "language": "fr",
        },
        "atelier-numerique.example",
        {"admin": "Claire Fontaine", "manager": "Karim Benali", "rep": "Sarah Kendrick"},
    ),
    "hubspot": (
        {"name": "Fenwick & Lowe", "time_zone": "Europe/London", "country": "GB", "currency": "GBP", "language": "en"},
        "fenwick-lowe.example",
        {"admin": "Alice Fenwick", "manager": "Tom Okafor", "rep": "Youssef Amrani"},
    ),
}


class Command(BaseCommand):
    help = (
        "Creates two organisations with three logins each and connects them to the CRMs, as the connect page does. "
        "No CRM data is created: the worker reads it. What exists already stays. Prints the logins as JSON."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for provider in PROVIDERS:
            parser.add_argument(f"--{provider}-token", default="", help="without it this CRM is not connected")

    def handle(self, *args: Any, **options: Any) -> None:
        organisations = [self.create(provider, options[f"{provider}_token"]) for provider in DEMO]
        self.stdout.write(json.dumps(organisations, ensure_ascii=False))

    def create(self, provider: str, token: str) -> dict[str, Any]:
        fields, domain, people = DEMO[provider]
        organisation, _ = Organisation.objects.get_or_create(name=fields["name"], defaults=fields)
        logins = []
        for role, name in people.items():
            first, last = name.lower().split()
            email = f"{first}.{last}@{SELLERS}" if role == Membership.Role.REP else f"{first}@{domain}"
            user = User.objects.filter(email=email).first() or User.objects.create_user(email, PASSWORD, name=name)
            Membership.objects.get_or_create(user=user, organisation=organisation, defaults={"role": role})
            logins.append({"email": email, "password": PASSWORD, "role": role})
        if token:
            self.connect(organisation, provider, token)
        return {
            "name": organisation.name,
            "provider": provider,
            "time_zone": organisation.time_zone,
            "key_roles": dict.fromkeys(ROLES, 12),
            "logins": logins,
        }

    def connect(self, organisation: Organisation, provider: str, token: str) -> None:
        with tenant(organisation):
            if organisation.connections.exists():  # also one that somebody has disconnected on purpose
                return
        try:
            with tenant(organisation):
                sync.connect(organisation, provider, token)
                self.watch_roles(organisation)
                self.enter_rates(organisation)
        except CrmError as error:
            self.stderr.write(f"{organisation.name} is not connected: {provider} answered {error.code}.")

    def enter_rates(self, organisation: Organisation) -> None:
        """As an admin would."""
        clock = Clock.of(organisation)
        said = RATES[organisation.currency].items()
        given = [rates.Given(currency, clock.today, Decimal(rate)) for currency, rate in said]
        admin = organisation.memberships.select_related("user").order_by("pk")[0].user
        rates.save_all(organisation, given, admin, clock)

    def watch_roles(self, organisation: Organisation) -> None:
        """Choose key roles, as an admin would: by default none is watched."""
        configuration = alert_settings.current(organisation)
        if not configuration.version:
            rules = {**configuration.rules, "key_role": {"enabled": True, "roles": dict.fromkeys(ROLES, 12)}}
            alert_settings.save(organisation, {"rules": rules}, None, Clock.of(organisation), based_on=0)
