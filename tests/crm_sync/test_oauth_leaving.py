"""The end of a connection: uninstalled at the CRM, cut here with the data kept, or with the data deleted."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db.models import Count
from django.test import Client

from accounts.tenancy import TenantModel, tenant
from alerts import engine
from alerts.models import Alert
from crm_sync import removal, routes, tasks, vault
from crm_sync.models import Connection, SyncRun
from deals.clock import Clock
from deals.models import Activity, Contact, Deal, Source
from tests.crm_sync.signing_in import PAGE, TOKENS, Company, sign_in, text
from tests.pages import log_in
from tests.sandbox import Sandbox
from workplace.models import Note

BACK = f"{PAGE}sign-in/pipedrive/back/"
PUBLISHED = json.loads(
    (Path(__file__).parent.parent / "payloads/pipedrive/oauth_uninstall_delete_body.json").read_text()
)
BASIC = "Basic " + base64.b64encode(b"sandbox-app:sandbox-app-secret").decode()


@pytest.fixture
def company(db: None) -> Company:
    return Company()


@pytest.fixture
def admin(company: Company) -> Client:
    return log_in(company)


# ---- Uninstalled at Pipedrive


def notice(crms: Sandbox, **change: Any) -> dict[str, Any]:
    """The published body with the ids of this app and account."""
    me = crms.raw("pipedrive")["fixed"]["me"]
    ours = {"client_id": "sandbox-app", "company_id": me["company_id"], "user_id": me["id"]}
    return PUBLISHED | ours | change


def tell(body: Any, authorization: str | None = BASIC) -> Any:
    """As Pipedrive does: a stranger without session or CSRF token."""
    headers = {} if authorization is None else {"Authorization": authorization}
    stranger = Client(enforce_csrf_checks=True, headers=headers)
    return stranger.delete(BACK, body, content_type="application/json")


def test_an_uninstall_is_told_in_words_and_signing_in_again_finds_everything(
    admin: Client, company: Company, crms: Sandbox
) -> None:
    sign_in(admin, "pipedrive")
    company.read(3)
    before = company.only()
    assert tell(notice(crms)).status_code == 200
    after = company.only()
    assert (after.state, after.token, after.refresh_token) == (Connection.State.UNINSTALLED, "", "")
    page = text(admin.get(PAGE))
    assert "The app was uninstalled in Pipedrive." in page
    assert "Connect again" in page
    assert "Synchronise now" not in page
    assert "The app was uninstalled in Pipedrive." in text(admin.get("/deals/"))
    with tenant(company.organisation):
        assert SyncRun.objects.filter(finished_at=None).count() == 0
        sources = Source.objects.count()
    assert tell(notice(crms)).status_code == 200  # told twice
    sign_in(admin, "pipedrive")
    assert (company.only().pk, company.only().state) == (before.pk, Connection.State.CONNECTED)
    assert company.read(2).problem == ""
    with tenant(company.organisation):
        assert Source.objects.count() == sources


def test_every_organisation_that_this_user_connected_is_told(admin: Client, company: Company, crms: Sandbox) -> None:
    other, token = Company("Other"), Company("By token")
    sign_in(admin, "pipedrive")
    sign_in(log_in(other, email="eve@elsewhere.example"), "pipedrive")
    log_in(token, email="tom@elsewhere.example").post(PAGE, {"provider": "pipedrive", "token": TOKENS["pipedrive"]})
    assert tell(notice(crms)).status_code == 200
    states = [each.only().state for each in (company, other, token)]
    assert states == ["uninstalled", "uninstalled", "connected"]


@pytest.mark.parametrize("change", [{"company_id": 999}, {"user_id": 999}, {"company_id": None}, {"company_id": [1]}])
def test_an_uninstall_of_somebody_else_is_answered_alike_and_changes_nothing(
    admin: Client, company: Company, crms: Sandbox, change: dict[str, Any]
) -> None:
    sign_in(admin, "pipedrive")
    known, unknown = tell(notice(crms, user_id=998)), tell(notice(crms, **change))
    assert (unknown.status_code, unknown.content) == (known.status_code, known.content) == (200, b"ok\n")
    assert company.only().state == Connection.State.CONNECTED


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        BASIC[:-4],
        BASIC + "x",
        BASIC.lower(),
        "Bearer sandbox-app-secret",
        "Basic " + base64.b64encode(b"sandbox-app:").decode(),
        "Basic é",
    ],
)
def test_an_uninstall_without_the_apps_secret_is_refused(
    admin: Client, company: Company, crms: Sandbox, authorization: str | None
) -> None:
    sign_in(admin, "pipedrive")
    assert tell(notice(crms), authorization).status_code == 401
    assert company.only().state == Connection.State.CONNECTED


@pytest.mark.parametrize(
    "body", ["", "x", "[]", "null", "[" * 5000, '{"client_id": "another", "company_id": 1}', '{"x": "' + "x" * 10_000]
)
def test_an_uninstall_that_cannot_be_read_is_refused(crms: Sandbox, db: None, body: str) -> None:
    assert tell(body).status_code == 400


def test_hubspot_tells_nothing_at_this_address(crms: Sandbox, db: None) -> None:
    headers = {"Authorization": BASIC}
    assert Client(headers=headers).delete(BACK.replace("pipedrive", "hubspot")).status_code == 404
    assert Client(headers=headers).put(BACK).status_code == 405


# ---- Cut here


def disconnect(client: Client, connection: Connection, data: str) -> str:
    return text(client.post(f"{PAGE}{connection.pk}/disconnect/", {"data": data}, follow=True))


@pytest.mark.parametrize("crm", ["pipedrive", "hubspot"])
def test_the_access_is_given_back_to_the_crm(admin: Client, company: Company, crms: Sandbox, crm: str) -> None:
    sign_in(admin, crm)
    kept = company.only()
    assert "What was read stays." in disconnect(admin, kept, "keep")
    assert (company.only().token, company.only().refresh_token) == ("", "")
    assert crms.oauth(crm)["grants"] >= 1
    tasks.revoke(crm, company.organisation.pk, kept.source_id, kept.refresh_token)  # as the worker does
    assert crms.oauth(crm)["revoked"] == 1
    crms.fail(crm, "down", path="revoke")
    tasks.revoke(crm, company.organisation.pk, kept.source_id, kept.refresh_token)  # as well as it goes
    with pytest.raises(vault.Unreadable):
        removal.revoke_now(crm, company.organisation.pk, kept.source_id + 1, kept.refresh_token)


def test_the_access_is_given_back_only_if_nobody_else_here_needs_it(
    admin: Client, company: Company, crms: Sandbox, django_capture_on_commit_callbacks: Any
) -> None:
    other = Company("Other")
    sign_in(admin, "pipedrive")
    with tenant(company.organisation), django_capture_on_commit_callbacks() as alone:
        removal.give_back(company.only())
    sign_in(log_in(other, email="eve@elsewhere.example"), "pipedrive")
    with tenant(company.organisation), django_capture_on_commit_callbacks() as shared:
        removal.give_back(company.only())
    assert (len(alone), len(shared)) == (1, 0)


def owned() -> dict[str, int]:
    """Rows by table and source, and of alerts and notes by the source of their deal."""
    found = {}
    for model in apps.get_models():
        if issubclass(model, TenantModel) and any(field.name == "source" for field in model._meta.local_fields):
            for source, n in model.objects.values_list("source").annotate(n=Count("pk")):
                found[f"{model.__name__}/{source}"] = n
    for model in (Alert, Note):
        for source, n in model.objects.values_list("deal__source").annotate(n=Count("pk")):
            found[f"{model.__name__}/{source}"] = n
    return found


def of(rows: dict[str, int], source: int) -> dict[str, int]:
    return {name: n for name, n in rows.items() if name.endswith(f"/{source}") and n}


def test_all_data_of_an_account_are_deleted_and_nothing_of_another(
    admin: Client, company: Company, crms: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for crm in ("pipedrive", "hubspot"):
        sign_in(admin, crm)
        company.read()
    leaving, staying = company.connections()
    organisation = company.organisation
    with tenant(organisation):
        engine.evaluate(organisation, Deal.objects.filter(organisation=organisation), Clock.of(organisation))
        for deal in Deal.objects.all():
            Note.objects.create(organisation=organisation, deal=deal, text="x", written_at=Clock.of(organisation).now)
        before = owned()
    assert {f"{table}/{leaving.source_id}" for table in ("Deal", "Contact", "Activity", "Alert", "Note")} <= set(before)
    assert "What was read is being deleted." in disconnect(admin, leaving, "delete")
    assert "Counting what is to be deleted" in text(admin.get(PAGE))

    # The same account again, while its data go, would be taken with them.
    page = text(admin.post(PAGE, {"provider": "pipedrive", "token": TOKENS["pipedrive"]}))
    assert "The data of this account are being deleted." in page

    monkeypatch.setattr(removal, "STEP", 5)
    assert removal.step(organisation.pk, leaving.pk)
    assert removal.step(organisation.pk, leaving.pk)
    poll = admin.get(f"{PAGE}progress/")
    with tenant(organisation):
        total, gone = Connection.objects.values_list("to_delete", "deleted").get(pk=leaving.pk)
        assert 0 < gone == 5 < total
    assert f"5 of {total} records deleted." in text(poll)
    assert (poll.status_code, "every 2s" in poll.content.decode()) == (200, True)
    # The process dies here. What a sweep finds is carried on by another one.
    with tenant(organisation):
        assert list(organisation.connections.filter(state="deleting")) == [leaving]
    monkeypatch.setattr(removal, "STEP", 500)
    tasks.remove(organisation.pk, leaving.pk)

    with tenant(organisation):
        after = owned()
        assert of(after, leaving.source_id) == {}
        assert of(after, staying.source_id) == of(before, staying.source_id)
        assert not Source.objects.filter(pk=leaving.source_id).exists()
        assert company.connections() == [staying]
    assert routes.organisations_of("pipedrive", leaving.source.account_id) == []
    assert routes.organisations_of("hubspot", staying.source.account_id) == [organisation.pk]
    assert "Pipedrive ·" not in text(admin.get(PAGE))
    tasks.remove(organisation.pk, leaving.pk)  # twice does no harm

    sign_in(admin, "pipedrive")
    company.read()
    with tenant(organisation):
        again = Source.objects.get(provider="pipedrive").pk
        assert {model: model.objects.filter(source=again).count() for model in (Deal, Contact, Activity)} == {
            model: before[f"{model.__name__}/{leaving.source_id}"] for model in (Deal, Contact, Activity)
        }


def test_what_was_kept_can_be_deleted_later(admin: Client, company: Company, crms: Sandbox) -> None:
    sign_in(admin, "pipedrive")
    company.read(6)
    connection = company.only()
    disconnect(admin, connection, "keep")
    assert "Delete its data" in text(admin.get(PAGE))
    disconnect(admin, connection, "delete")
    tasks.remove(company.organisation.pk, connection.pk)
    with tenant(company.organisation):
        assert owned() == {}
    assert company.connections() == []


def test_a_connection_that_is_not_leaving_is_never_deleted(admin: Client, company: Company, crms: Sandbox) -> None:
    sign_in(admin, "pipedrive")
    company.read(6)
    with tenant(company.organisation):
        before = owned()
    for state in ("connected", "refused", "uninstalled", "disconnected"):
        company.change(state=state)
        tasks.remove(company.organisation.pk, company.only().pk)
        assert not removal.step(Company("Other").organisation.pk, company.only().pk)
    with tenant(company.organisation):
        assert owned() == before
