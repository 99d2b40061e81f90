import pytest
from django.core.management import CommandError, call_command

from accounts.models import Membership, Organisation, User

pytestmark = pytest.mark.django_db


def create(*options: str) -> None:
    call_command("create_organisation", "Boréal", "--admin", "Ana@Boreal.example", *options)


def test_the_first_admin_can_log_in(monkeypatch: pytest.MonkeyPatch, client) -> None:
    monkeypatch.setenv("VIGIE_PASSWORD", "correct horse battery")
    create("--time-zone", "Europe/London", "--currency", "gbp")
    organisation = Organisation.objects.get()
    assert (organisation.time_zone, organisation.currency) == ("Europe/London", "GBP")
    assert Membership.objects.get().is_admin
    answer = client.post("/login/", {"username": "ana@boreal.example", "password": "correct horse battery"})
    assert answer.status_code == 302


def test_a_person_of_another_organisation_keeps_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_PASSWORD", "correct horse battery")
    create()
    before = User.objects.get().password
    monkeypatch.setenv("VIGIE_PASSWORD", "another good password")
    create()
    assert User.objects.get().password == before
    assert Membership.objects.count() == 2


@pytest.mark.parametrize(
    ("password", "options"), [("short", ()), ("correct horse battery", ("--time-zone", "Mars/Olympus"))]
)
def test_a_wrong_value_creates_nothing(password: str, options: tuple[str, ...], monkeypatch) -> None:
    monkeypatch.setenv("VIGIE_PASSWORD", password)
    with pytest.raises(CommandError):
        create(*options)
    assert not Organisation.objects.exists()
    assert not User.objects.exists()
