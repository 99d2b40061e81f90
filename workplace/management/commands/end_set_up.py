from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts.models import Organisation
from accounts.tenancy import tenant
from workplace import onboarding


class Command(BaseCommand):
    help = (
        "Ends the set-up of the organisations with these names, so that nobody is led to it any more. "
        "Where an admin has said something of it already, it stays as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="+", metavar="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        for organisation in Organisation.objects.filter(name__in=options["names"]):
            with tenant(organisation):
                if not organisation.onboardings.exists():
                    onboarding.end(organisation, timezone.now())
