import getpass
import os
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.models import Membership, Organisation, User


class Command(BaseCommand):
    help = "Create an organisation and its first admin. The password is asked, or read from VIGIE_PASSWORD."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--admin", required=True, metavar="E-MAIL")
        parser.add_argument("--time-zone", default="Europe/Paris")
        parser.add_argument("--country", default="FR")
        parser.add_argument("--currency", default="EUR")
        parser.add_argument("--language", default="en", choices=["en", "fr"])

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        organisation = Organisation(
            name=options["name"],
            time_zone=options["time_zone"],
            country=options["country"].upper(),
            currency=options["currency"].upper(),
            language=options["language"],
        )
        user = User.objects.filter(email__iexact=options["admin"]).first()
        try:
            organisation.full_clean()
            if user is None:
                password = os.environ.get("VIGIE_PASSWORD") or getpass.getpass(f"Password of {options['admin']}: ")
                user = User(email=options["admin"].strip().lower())
                validate_password(password, user)
                user.set_password(password)
                user.full_clean()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        organisation.save()
        user.save()
        Membership.objects.create(user=user, organisation=organisation, role=Membership.Role.ADMIN)
        self.stdout.write(f"{organisation.name} is there; {user.email} can log in as its admin.")
