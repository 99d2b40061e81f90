"""Connecting by signing in at the CRM: what is asked, what is kept, and every answer that must not count."""

import importlib
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection as database
from django.test import Client, override_settings

from accounts.models import Membership, User
from accounts.tenancy import tenant
from alerts.models import Alert
from crm_sync import oauth, routes, sync
from crm_sync.models import AccountRoute, Connection, OAuthState
from deals.models import Deal, Source
from tests.crm_sync.signing_in import PAGE, TOKENS, Company, at_crm, query, sign_in, start, text
from tests.pages import log_in
from tests.sandbox import Sandbox

both = pytest.mark.parametrize(("crm", "name"), [("pipedrive", "Pipedrive"), ("hubspot", "HubSpot")])
NOT_OURS = "belongs to no sign-in that is open here"


@pytest.fixture
def company(db: None) -> Company:
    return Company()


@pytest.fixture
def admin(company: Company) -> Client:
    return log_in(company)


# ---- The way there


@both
def test_signing_in_connects_and_reads_the_account(
    admin: Client, company: Company, crms: Sandbox, crm: str, name: str
) -> None:
    assert f"Sign in at {name}" in text(admin.get(PAGE))
    page = text(sign_in(admin, crm))
    assert f"{name} is connected. Your deals are being read now." in page
    assert "Connected by signing in by Ana Ruiz" in page
    assert "did not grant everything" not in page
    assert company.read().problem == ""
    assert "synchronised just now" in text(admin.get(PAGE))
    kept = company.only()
    assert kept.source.account_id
    assert (kept.method, kept.connected_by.email) == ("oauth", "ana@vigie.example")
    assert kept.api_url == (f"{crms.url}/pipedrive" if crm == "pipedrive" else "")
    assert routes.organisations_of(crm, kept.source.account_id) == [company.organisation.pk]
    with tenant(company.organisation):
        assert Deal.objects.exists()
        assert not OAuthState.objects.exists()


def test_what_is_asked_of_the_crms_is_what_they_document(admin: Client, crms: Sandbox) -> None:
    pipedrive, hubspot = (start(admin, crm) for crm in ("pipedrive", "hubspot"))
    assert pipedrive.startswith(f"{crms.url}/pipedrive/oauth/authorize?")
    assert hubspot.startswith(f"{crms.url}/hubspot/oauth/authorize?")
    assert set(query(pipedrive)) == {"client_id", "redirect_uri", "state"}
    assert set(query(hubspot)) == {"client_id", "redirect_uri", "state", "scope", "optional_scope"}
    assert query(pipedrive)["redirect_uri"] == "http://testserver/settings/crm/sign-in/pipedrive/back/"
    assert "crm.objects.deals.read" in query(hubspot)["scope"].split()
    states = {query(start(admin, "hubspot"))["state"] for _ in range(5)}
    assert len(states) == 5
    assert all(len(state) >= 43 for state in states)  # 256 bits


def test_a_sign_in_ends_on_the_page_of_ours_where_it_began(admin: Client, crms: Sandbox) -> None:
    back = at_crm(start(admin, "hubspot", next="/deals/"))
    assert admin.get(back).headers["Location"] == "/deals/"
    back = at_crm(start(admin, "hubspot", next="https://evil.example/"))
    assert admin.get(back).headers["Location"] == PAGE


@override_settings(PIPEDRIVE_CLIENT_ID="", HUBSPOT_CLIENT_SECRET="")
def test_without_an_app_the_page_says_why_and_a_token_still_works(admin: Client, company: Company) -> None:
    page = text(admin.get(PAGE))
    for name, crm in (("Pipedrive", "pipedrive"), ("HubSpot", "hubspot")):
        assert f"Signing in at {name} is not set up on this server" in page
        assert f"Sign in at {name}" not in page
        assert admin.post(f"{PAGE}sign-in/{crm}/").status_code == 404
        assert admin.get(f"{PAGE}sign-in/{crm}/back/?code=x&state=y").status_code == 404
        assert Client().delete(f"{PAGE}sign-in/{crm}/back/").status_code == 404
    assert 'name="token"' in admin.get(PAGE).content.decode()


def test_only_admins_begin_and_end_a_sign_in(admin: Client, company: Company, crms: Sandbox) -> None:
    back = at_crm(start(admin, "hubspot"))
    for role in ("rep", "manager"):
        other = log_in(company, role=role, email=f"{role}@vigie.example")
        assert "Sign in at" not in text(other.get(PAGE))
        assert other.post(f"{PAGE}sign-in/hubspot/").status_code == 403
        assert other.get(back).status_code == 403
    homeless = Client()
    homeless.force_login(User.objects.create_user("x@y.example"), backend="django.contrib.auth.backends.ModelBackend")
    assert homeless.get(back).status_code == 403
    assert homeless.post(f"{PAGE}sign-in/hubspot/").status_code == 403
    assert Client().get(back).headers["Location"] == f"/login/?next={PAGE}"
    assert Client().post(f"{PAGE}sign-in/hubspot/").status_code == 302
    assert admin.get(f"{PAGE}sign-in/hubspot/").status_code == 405
    assert admin.post(f"{PAGE}sign-in/salesforce/").status_code == 404
    assert company.connections() == []


def test_a_form_of_another_site_begins_nothing(admin: Client, company: Company, crms: Sandbox) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    assert strict.post(f"{PAGE}sign-in/hubspot/").status_code == 403


# ---- The way back


def refused(answer: Any, company: Company, sentence: str) -> None:
    assert answer.status_code == 200
    assert sentence in text(answer)
    assert company.connections() == []


@both
def test_an_answer_counts_once(admin: Client, company: Company, crms: Sandbox, crm: str, name: str) -> None:
    back = at_crm(start(admin, crm))
    assert "is connected" in text(admin.get(back, follow=True))
    [before] = company.connections()
    assert NOT_OURS in text(admin.get(back, follow=True))
    [after] = company.connections()
    assert (after.token, after.connected_at) == (before.token, before.connected_at)
    # The same code under a state that is open.
    code, state = query(back)["code"], query(start(admin, crm))["state"]
    page = text(admin.get(f"{PAGE}sign-in/{crm}/back/", {"code": code, "state": state}, follow=True))
    assert f"{name} does not accept this sign-in: it was used already" in page
    assert company.only().token == before.token


def test_an_answer_counts_for_its_own_user_only(company: Company, crms: Sandbox) -> None:
    ana, bob = (User.objects.create_user(f"{name}@vigie.example") for name in ("ana", "bob"))
    app, mine = oauth.app("hubspot"), company.organisation
    assert app is not None
    with tenant(mine):
        state = query(oauth.begin(app, mine, ana, "session"))["state"]
        with pytest.raises(oauth.UnknownState):
            oauth.end(app, mine, bob, "session", state)
        assert oauth.end(app, mine, ana, "session", state) == ""


@pytest.mark.parametrize("state", ["", "x", "x" * 5000, "\x00", "é"])
def test_an_answer_with_a_foreign_state_does_not_count(
    admin: Client, company: Company, crms: Sandbox, state: str
) -> None:
    code = query(at_crm(start(admin, "hubspot")))["code"]
    refused(admin.get(f"{PAGE}sign-in/hubspot/back/", {"code": code, "state": state}, follow=True), company, NOT_OURS)


@pytest.mark.parametrize(
    ("age", "counts"), [(timedelta(minutes=9, seconds=50), True), (timedelta(minutes=10, seconds=1), False)]
)
def test_an_answer_counts_for_ten_minutes(
    admin: Client, company: Company, crms: Sandbox, age: timedelta, counts: bool
) -> None:
    back = at_crm(start(admin, "hubspot"))
    with tenant(company.organisation):
        OAuthState.objects.update(began_at=datetime.now(UTC) - age)
    page = text(admin.get(back, follow=True))
    assert (NOT_OURS in page, len(company.connections())) == (not counts, int(counts))
    start(admin, "hubspot")
    with tenant(company.organisation):
        assert OAuthState.objects.count() == 1  # what is too old is swept away


def test_an_answer_counts_in_its_own_session_only(admin: Client, company: Company, crms: Sandbox) -> None:
    back = at_crm(start(admin, "hubspot"))
    refused(log_in(company).get(back, follow=True), company, NOT_OURS)  # the same person in another browser
    refused(log_in(company, email="bob@vigie.example").get(back, follow=True), company, NOT_OURS)
    assert "is connected" in text(admin.get(back, follow=True))


def test_an_answer_counts_in_its_own_organisation_only(admin: Client, company: Company, crms: Sandbox) -> None:
    other = Company("Other")
    Membership.objects.create(user=User.objects.get(), organisation=other.organisation, role="admin")
    back = at_crm(start(admin, "hubspot"))
    assert admin.post("/profile/organisation/", {"organisation": other.organisation.pk}).status_code == 302
    refused(admin.get(back, follow=True), other, NOT_OURS)
    assert company.connections() == []


def test_an_answer_counts_at_its_own_crm_only(admin: Client, company: Company, crms: Sandbox) -> None:
    back = at_crm(start(admin, "hubspot")).replace("sign-in/hubspot", "sign-in/pipedrive")
    refused(admin.get(back, follow=True), company, NOT_OURS)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("access_denied", "You did not let Vigie into HubSpot. Nothing was changed."),
        ("server_error", "HubSpot ended the sign-in without letting Vigie in."),
        ("<script>alert(1)</script>", "HubSpot ended the sign-in without letting Vigie in."),
    ],
)
def test_an_error_of_the_crm_is_told_and_never_repeated(
    admin: Client, company: Company, crms: Sandbox, error: str, sentence: str
) -> None:
    crms.oauth("hubspot", refuse=error)
    answer = sign_in(admin, "hubspot")
    refused(answer, company, sentence)
    assert "alert(1)" not in answer.content.decode()


@pytest.mark.parametrize("code", [None, "", "x" * 2001])
def test_an_answer_without_a_code_is_told(admin: Client, company: Company, crms: Sandbox, code: str | None) -> None:
    data = {"state": query(start(admin, "hubspot"))["state"]} | ({} if code is None else {"code": code})
    answer = admin.get(f"{PAGE}sign-in/hubspot/back/", data, follow=True)
    refused(answer, company, "ended the sign-in without letting Vigie in")


@both
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"status": 500}, "does not answer. Nothing was changed."),
        ({"status": "down"}, "does not answer. Nothing was changed."),
        ({"status": 429}, "asks for a pause"),
        ({"status": "html403"}, "asks for a pause"),
        ({"status": 404}, "gave an answer that Vigie does not understand. Nothing was changed."),
    ],
)
def test_trouble_of_the_crm_while_signing_in_is_told(
    admin: Client, company: Company, crms: Sandbox, crm: str, name: str, fault: dict[str, Any], sentence: str
) -> None:
    back = at_crm(start(admin, crm))
    crms.fail(crm, path="/token", **fault)
    refused(admin.get(back, follow=True), company, sentence)


@both
def test_a_wrong_secret_of_this_server_is_told(
    admin: Client, company: Company, crms: Sandbox, crm: str, name: str
) -> None:
    with override_settings(**{f"{crm.upper()}_CLIENT_SECRET": "wrong"}):
        refused(sign_in(admin, crm), company, f"{name} does not know this server's app.")


@pytest.mark.parametrize(
    "domain",
    [
        "http://evil.pipedrive.com",
        "https://evil.example",
        "https://pipedrive.com",
        "https://a.pipedrive.com.evil.example",
        "https://a.pipedrive.com@evil.example",
        "https://evil.example/?x=.pipedrive.com",
        "https://a.b.pipedrive.com",
        "https://A.pipedrive.com",
        "https://a.pipedrive.com/",
        "https://a.pipedrive.com\n",
        f"https://{'a' * 64}.pipedrive.com",
        "http://127.0.0.1:1/pipedrive",
        {"not": "text"},
    ],
)
def test_pipedrive_leads_nowhere_but_to_itself(admin: Client, company: Company, crms: Sandbox, domain: object) -> None:
    crms.oauth("pipedrive", api_domain=domain)
    crms.forget_requests()
    refused(sign_in(admin, "pipedrive"), company, "gave an answer that Vigie does not understand")
    assert [entry["path"] for entry in crms.requests()] == ["/pipedrive/oauth/authorize", "/pipedrive/oauth/token"]


@pytest.mark.parametrize("name", ["a", "user-company", "0", "a" * 63])
def test_an_address_of_pipedrives_own_is_taken(name: str) -> None:
    assert oauth.PIPEDRIVE_DOMAIN.fullmatch(f"https://{name}.pipedrive.com")


def test_a_login_that_cannot_be_looked_at_now_is_kept_and_read_later(
    admin: Client, company: Company, crms: Sandbox
) -> None:
    back = at_crm(start(admin, "hubspot"))
    crms.fail("hubspot", 429, count=50, path="account-info", retry_after=60)
    assert "The account will be read as soon as HubSpot answers." in text(admin.get(back, follow=True))
    crms.heal()
    company.read()
    assert "synchronised just now" in text(admin.get(PAGE))
    kept = company.only()
    assert (kept.method, bool(kept.source.account_id)) == ("oauth", True)
    assert routes.organisations_of("hubspot", kept.source.account_id) == [company.organisation.pk]


# ---- What is granted


@pytest.mark.parametrize(
    ("crm", "granted", "missing"),
    [
        ("pipedrive", "base deals:read contacts:read activities:read users:read admin", []),
        ("pipedrive", "base deals:full contacts:full activities:full users:full admin", []),
        ("pipedrive", "base,deals:read,contacts:read,activities:read,users:read,admin", []),
        ("pipedrive", "base deals:read contacts:read users:read", ["to read activities", "to be told of changes"]),
        (
            "hubspot",
            "oauth crm.objects.deals.read crm.objects.contacts.read crm.objects.companies.read crm.schemas.deals.read "
            "crm.objects.owners.read",
            ["to read e-mails"],
        ),
    ],
)
def test_permissions_that_were_not_granted_are_named_with_what_they_are_for(
    admin: Client, company: Company, crms: Sandbox, crm: str, granted: str, missing: list[str]
) -> None:
    crms.oauth(crm, scopes=granted)
    page = text(sign_in(admin, crm))
    assert ("did not grant everything" in page) == bool(missing)
    assert ("Connect again" in page) == bool(missing)
    for purpose in missing:
        assert purpose in page
    assert "to know who owns a deal" not in page


# ---- Accounts


@both
@pytest.mark.parametrize("first", ["token", "oauth"])
def test_the_same_account_is_found_again_whichever_way_it_is_connected(
    admin: Client, company: Company, crms: Sandbox, crm: str, name: str, first: str
) -> None:
    def by_token() -> None:
        admin.post(PAGE, {"provider": crm, "token": TOKENS[crm]})

    def by_oauth() -> None:
        sign_in(admin, crm)

    ways = [by_token, by_oauth] if first == "token" else [by_oauth, by_token]
    ways[0]()
    before = company.only()
    with tenant(company.organisation):
        sources = Source.objects.count()
    ways[1]()
    after = company.only()
    assert (after.pk, after.source_id) == (before.pk, before.source_id)
    assert {before.method, after.method} == {"token", "oauth"}
    assert bool(after.refresh_token) == (after.method == "oauth")
    with tenant(company.organisation):
        assert (sources, Source.objects.count()) == (1, 1)


def test_several_accounts_live_side_by_side(admin: Client, company: Company, crms: Sandbox) -> None:
    me = crms.raw("pipedrive")["fixed"]["me"]
    try:
        sign_in(admin, "pipedrive")
        company.read()
        crms.change_account("pipedrive", {"me": {"company_id": 77, "company_name": "Second & Sons"}})
        sign_in(admin, "pipedrive")
        company.read()
        admin.post(PAGE, {"provider": "hubspot", "token": TOKENS["hubspot"]})
        company.read()
    finally:
        crms.change_account("pipedrive", {"me": me})
    found = company.connections()
    assert [(c.provider, c.method) for c in found] == [
        ("pipedrive", "oauth"),
        ("pipedrive", "oauth"),
        ("hubspot", "token"),
    ]
    page = text(admin.get(PAGE))
    assert page.count("synchronised just now") >= 3
    assert "Pipedrive · Second & Sons" in page
    with tenant(company.organisation):
        counts = [Deal.objects.filter(source=c.source).count() for c in found]
    assert counts[0] == counts[1] > 0 < counts[2]


def test_what_is_connected_already_is_led_to_by_the_migration(company: Company, crms: Sandbox) -> None:
    other = Company("Other")
    for each in (company, other):
        with tenant(each.organisation):
            sync.connect(each.organisation, "hubspot", TOKENS["hubspot"])
    account = company.only().source.account_id
    both_of_them = [company.organisation.pk, other.organisation.pk]
    assert routes.organisations_of("hubspot", account) == both_of_them
    AccountRoute.objects.all().delete()
    migration = importlib.import_module("crm_sync.migrations.0002_oauth")
    with database.schema_editor() as editor:
        migration.lead_to_what_is_connected(apps, editor)
    assert routes.organisations_of("hubspot", account) == both_of_them
    assert routes.organisations_of("pipedrive", account) == routes.organisations_of("hubspot", "") == []
    assert not Alert.objects.exists()  # the walls stand again


# ---- Secrets


@both
def test_no_secret_is_stored_in_clear_or_logged(
    admin: Client, company: Company, crms: Sandbox, crm: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = start(admin, crm)
    back = at_crm(address)
    answer = admin.get(back, follow=True)
    company.change(expires_at=datetime.now(UTC))
    company.read(2)
    kept = company.only()
    with tenant(company.organisation):
        login = oauth.Login.of(kept)
    secrets = [login.token, login.refresh_token, query(address)["state"], query(back)["code"], "sandbox-app-secret"]
    stored = repr([vars(kept), list(OAuthState.objects.values())])
    shown = answer.content.decode() + admin.get(PAGE).content.decode()
    said = "\n".join(
        record.getMessage() + str(record.args) for record in caplog.records if record.name.startswith("crm_sync")
    )
    for secret in secrets:
        assert len(secret) > 10
        assert secret not in stored + shown + said + repr(login) + repr(oauth.app(crm))
    assert "renewed" in said


def test_french(company: Company, crms: Sandbox) -> None:
    client = log_in(company, language="fr")
    crms.oauth("hubspot", refuse="access_denied")
    assert "Vous n’avez pas autorisé Vigie dans HubSpot." in text(sign_in(client, "hubspot"))


def test_a_connection_by_token_says_so(admin: Client, company: Company, crms: Sandbox) -> None:
    admin.post(PAGE, {"provider": "hubspot", "token": TOKENS["hubspot"]})
    assert "Connected by token by Ana Ruiz" in text(admin.get(PAGE))
    company.change(connected_by=None)
    assert "Connected by token, " in text(admin.get(PAGE))
    assert company.only().state == Connection.State.CONNECTED
