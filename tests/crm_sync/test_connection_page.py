"""The connection page against the sandbox: tokens, progress, trouble in words, field mapping, disconnecting."""

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import details, sync
from crm_sync.models import Connection, SyncRun
from tests.pages import log_in
from tests.sandbox import Sandbox

PAGE = "/settings/crm/"
TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}


class Company:
    """Just enough of a World to log in to."""

    def __init__(self) -> None:
        self.organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("sandbox"), deals=40) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    with override_settings(PIPEDRIVE_API_URL=f"{server.url}/pipedrive", HUBSPOT_API_URL=f"{server.url}/hubspot"):
        yield server


@pytest.fixture
def company(transactional_db: None) -> Company:
    return Company()


@pytest.fixture
def admin(company: Company) -> Client:
    return log_in(company)


def post(client: Client, provider: str, token: str = "", follow: bool = False) -> Any:
    return client.post(PAGE, {"provider": provider, "token": token or TOKENS[provider]}, follow=follow)


def at_once(company: Company) -> None:
    """The time to try again has come."""
    with tenant(company.organisation):
        SyncRun.objects.filter(finished_at=None).update(retry_at=None)


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def only_connection(company: Company) -> Connection:
    with tenant(company.organisation):
        return Connection.objects.select_related("source").get()


def read(company: Company, steps: int | None = None) -> None:
    """Carry the newest run on, by some pages or to its end, as the worker does."""
    with tenant(company.organisation):
        run = SyncRun.objects.select_related("connection").latest("pk")
    reader = sync.Reader(company.organisation.pk, run.pk)
    while (steps is None or steps > 0) and reader.step():
        steps = steps and steps - 1
    if steps is None:
        details.read_all(run.connection)


@pytest.mark.parametrize("provider", ["pipedrive", "hubspot"])
def test_a_token_connects_and_the_first_synchronisation_is_seen_running(
    admin: Client, company: Company, sandbox: Sandbox, provider: str
) -> None:
    assert post(admin, provider, f" {TOKENS[provider]}\n").status_code == 302
    page = text(admin.get(PAGE))
    assert "is connected. Your deals are being read now." in page
    assert "first synchronisation running" in page
    seen = []
    for _poll in range(3):
        read(company, steps=2)
        answer = admin.get(f"{PAGE}progress/")
        assert answer.status_code == 200
        assert 'hx-trigger="every 2s"' in answer.content.decode()
        seen.append(sum(stream.records for stream in answer.context["connections"][0].streams))
    assert seen == sorted(set(seen))
    assert "Your deals are on their way" in text(admin.get("/deals/"))
    read(company)
    last = admin.get(f"{PAGE}progress/")
    assert last.status_code == 286
    assert "every 2s" not in last.content.decode()
    assert 'hx-swap-oob="true"' in last.content.decode()
    assert "synchronised just now" in text(last)


@pytest.mark.parametrize(("provider", "name"), [("pipedrive", "Pipedrive"), ("hubspot", "HubSpot")])
def test_a_wrong_token_is_answered_with_what_to_do_and_keeps_nothing(
    admin: Client, company: Company, sandbox: Sandbox, provider: str, name: str
) -> None:
    answer = post(admin, provider, "wrong-token-0123456789")
    assert answer.status_code == 422
    assert f"{name} does not accept the token." in text(answer)
    assert f"Copy it again from {name}" in text(answer)
    assert "wrong-token-0123456789" not in answer.content.decode()
    with tenant(company.organisation):
        assert not Connection.objects.exists()


def test_a_permission_that_is_missing_while_connecting_is_told_in_words(
    admin: Client, company: Company, sandbox: Sandbox
) -> None:
    sandbox.fail("hubspot", 403, count=30)
    answer = post(admin, "hubspot")
    assert answer.status_code == 422
    assert "may not read everything that is needed" in text(answer)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(500, "HubSpot does not answer."), ("down", "HubSpot does not answer."), (429, "HubSpot asks for a pause")],
)
def test_a_token_that_cannot_be_checked_now_is_kept_and_every_page_says_why_there_is_nothing(
    admin: Client, company: Company, sandbox: Sandbox, status: object, sentence: str
) -> None:
    sandbox.fail("hubspot", status, count=30, **({"retry_after": 60} if status == 429 else {}))
    answer = post(admin, "hubspot", follow=True)
    assert "It will be checked as soon as HubSpot answers." in text(answer)
    for address in (PAGE, "/deals/"):
        assert sentence in text(admin.get(address))
    sandbox.heal()
    assert post(admin, "hubspot").status_code == 302  # the same token once more is no second connection
    with tenant(company.organisation):
        assert [c.source.account_id != "" for c in Connection.objects.select_related("source")] == [True]


def test_a_token_that_was_kept_is_checked_when_the_crm_answers_again(
    admin: Client, company: Company, sandbox: Sandbox
) -> None:
    sandbox.fail("pipedrive", "down", count=50)
    post(admin, "pipedrive")
    sandbox.heal()
    at_once(company)
    read(company)
    assert "synchronised just now" in text(admin.get(PAGE))
    with tenant(company.organisation):
        [connection] = Connection.objects.select_related("source")
        assert connection.source.account_id
        assert connection.source.account_name
        assert company.organisation.deals.exists()


def test_a_kept_token_of_an_account_that_is_known_goes_to_it(admin: Client, company: Company, sandbox: Sandbox) -> None:
    post(admin, "pipedrive")
    read(company)
    with tenant(company.organisation):
        [known] = Connection.objects.all()
        sync.disconnect(known)
        deals = company.organisation.deals.count()
    sandbox.fail("pipedrive", "down", count=50)
    post(admin, "pipedrive")
    sandbox.heal()
    at_once(company)
    read(company)
    read(company)  # the run of the account that was found again
    with tenant(company.organisation):
        assert [c.pk for c in Connection.objects.all()] == [known.pk]
        assert company.organisation.deals.count() == deals
    assert "synchronised just now" in text(admin.get(PAGE))


def test_a_kept_token_that_turns_out_to_be_wrong_is_told(admin: Client, company: Company, sandbox: Sandbox) -> None:
    sandbox.fail("pipedrive", "down", count=50)
    admin.post(PAGE, {"provider": "pipedrive", "token": "wrong-token-0123456789"})
    sandbox.heal()
    at_once(company)
    read(company)
    assert "Pipedrive does not accept the token." in text(admin.get("/deals/"))


@pytest.mark.parametrize(
    "data", [{}, {"provider": "salesforce", "token": "x"}, {"provider": "hubspot", "token": "x" * 5000}]
)
def test_an_incomplete_form_is_told_without_asking_the_crm(
    admin: Client, sandbox: Sandbox, data: dict[str, str]
) -> None:
    sandbox.forget_requests()
    answer = admin.post(PAGE, data)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert sandbox.requests() == []


def test_a_revoked_token_is_told_on_every_page_and_a_new_one_goes_on(
    admin: Client, company: Company, sandbox: Sandbox
) -> None:
    post(admin, "pipedrive")
    read(company, steps=5)
    sandbox.fail("pipedrive", 401, count=1)
    read(company)
    for address in (PAGE, "/deals/", "/settings/alerts/"):
        assert "Pipedrive does not accept the token." in text(admin.get(address))
    assert admin.get(f"{PAGE}progress/").status_code == 286
    assert post(admin, "pipedrive").status_code == 302
    read(company)
    assert "synchronised just now" in text(admin.get(PAGE))


def test_a_crm_that_is_down_during_the_first_synchronisation_is_told_and_loses_nothing(
    admin: Client, company: Company, sandbox: Sandbox
) -> None:
    post(admin, "pipedrive")
    read(company, steps=4)
    before = admin.get(PAGE).context["connections"][0].status.records
    sandbox.fail("pipedrive", "down", count=50)
    read(company)
    page = text(admin.get("/deals/"))
    assert "Pipedrive does not answer." in page
    assert "goes on where it stopped" in page
    sandbox.heal()
    connection = only_connection(company)
    assert admin.post(f"{PAGE}{connection.pk}/sync/").status_code == 302
    read(company)
    status = admin.get(PAGE).context["connections"][0].status
    assert status.state == "fresh"
    assert sum(stream.records for stream in admin.get(PAGE).context["connections"][0].streams) > before


def test_disconnecting_forgets_the_token_and_keeps_the_deals(admin: Client, company: Company, sandbox: Sandbox) -> None:
    post(admin, "hubspot")
    read(company)
    before = admin.get("/deals/").context["list"].count
    assert admin.post(f"{PAGE}{only_connection(company).pk}/disconnect/").status_code == 302
    assert only_connection(company).token == ""
    assert "HubSpot disconnected" in text(admin.get(PAGE))
    assert admin.get("/deals/").context["list"].count == before > 0


def test_only_admins_connect_synchronise_and_disconnect(admin: Client, company: Company, sandbox: Sandbox) -> None:
    post(admin, "hubspot")
    pk = only_connection(company).pk
    rep = log_in(company, role="rep", email="bob@vigie.example")
    page = rep.get(PAGE).content.decode()
    assert 'name="token"' not in page
    assert "Disconnect" not in page
    assert post(rep, "hubspot").status_code == 403
    for action in ("sync", "disconnect", "fields", "types"):
        assert rep.post(f"{PAGE}{pk}/{action}/").status_code == 403
    assert only_connection(company).state == Connection.State.CONNECTED


def test_another_organisation_finds_nothing_under_the_same_id(
    admin: Client, company: Company, sandbox: Sandbox
) -> None:
    post(admin, "hubspot")
    pk = only_connection(company).pk
    other = log_in(Company(), email="eve@elsewhere.example")
    for action in ("sync", "disconnect", "fields", "types"):
        assert other.post(f"{PAGE}{pk}/{action}/").status_code == 404
    assert "No CRM connected" in text(other.get(PAGE))
    assert only_connection(company).state == Connection.State.CONNECTED


def test_french(company: Company, sandbox: Sandbox) -> None:
    client = log_in(company, language="fr")
    answer = post(client, "hubspot", "wrong")
    assert "HubSpot n’accepte pas le jeton." in text(answer)
