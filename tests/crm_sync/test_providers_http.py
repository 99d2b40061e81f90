"""Both providers over real HTTP against the sandbox: every stream to its end, and every way in which a CRM refuses."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import requests

from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import CrmDown, MissingPermission, RateLimited, TokenRefused, UnexpectedAnswer
from crm_sync.providers.hubspot.client import ACTIVITIES, HubSpot
from crm_sync.providers.pipedrive.client import Pipedrive

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
STREAMS = [(name, stream) for name, provider in PROVIDERS.items() for stream in provider.streams]
KINDS = {
    "users": "colleagues",
    "owners": "colleagues",
    "pipelines": "pipelines",
    "stages": "stages",
    "organizations": "companies",
    "companies": "companies",
    "persons": "contacts",
    "contacts": "contacts",
    "deals": "deals",
}


class Sandbox:
    def __init__(self, url):
        self.url = url

    def provider(self, name, token=None, **options):
        return PROVIDERS[name](token or TOKENS[name], f"{self.url}/{name}", **options)

    def control(self, method, path, body=None):
        answer = requests.request(method, f"{self.url}/control/{path}", json=body, timeout=5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def fail(self, crm, status, **how):
        self.control("POST", "faults", {"crm": crm, "status": status} | how)

    def heal(self):
        self.control("DELETE", "faults")

    def raw(self, name, path, limit, **query):
        """All records of a list, read without any of the product's code."""
        records, query = [], query | {"limit": limit}
        headers = {"x-api-token": TOKENS[name]} if name == "pipedrive" else {"Authorization": f"Bearer {TOKENS[name]}"}
        for _ in range(1000):
            answer = requests.get(f"{self.url}/{name}/{path}", query, headers=headers, timeout=5).json()
            if name == "pipedrive":
                records += answer["data"]
                query["cursor"] = answer["additional_data"]["next_cursor"]
                finished = query["cursor"] is None
            else:
                records += answer["results"]
                finished = "paging" not in answer
                query["after"] = None if finished else answer["paging"]["next"]["after"]
            if finished:
                return records
        raise AssertionError(path)


@pytest.fixture(scope="module")
def sandbox():
    command = [sys.executable, "-m", "crm_sandbox", "--port", "0", "--deals", "150", "--burst", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Sandbox(process.stdout.readline().split()[-1])
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _healthy(sandbox):
    yield
    sandbox.heal()


def read_all(provider, stream, since=None):
    """The pages of a stream to its end."""
    pages, cursor, until = [], None, datetime.now(UTC)
    while not pages or cursor:
        pages.append(provider.read(stream, cursor, since, until))
        cursor = pages[-1].cursor
        assert len(pages) < 100
    return pages


def ids(pages, kind):
    return [record.external_id for page in pages for record in getattr(page.batch, kind)]


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_token_tells_its_account(sandbox, name):
    account = sandbox.provider(name).identify()
    assert account.account_id.isdigit()
    assert (account.time_zone, account.currency) == ("Europe/Paris", "EUR")
    ending = {
        "pipedrive": ".pipedrive.com/deal/7",
        "hubspot": f".hubspot.com/contacts/{account.account_id}/record/0-3/7",
    }
    assert account.deal_link("7").startswith("https://")
    assert account.deal_link("7").endswith(ending[name])


@pytest.mark.parametrize(("name", "stream"), STREAMS)
def test_every_stream_is_read_to_its_end_and_no_record_twice(sandbox, name, stream):
    pages = read_all(sandbox.provider(name), stream)
    if stream in KINDS:
        found = ids(pages, KINDS[stream])
        assert len(found) == len(set(found)) == sum(page.count for page in pages) > 0
    if stream in ("deals", "persons", "contacts", "activities", *ACTIVITIES):
        records = [record for page in pages for record in getattr(page.batch, KINDS.get(stream, "activities"))]
        assert max(page.high_water for page in pages) >= max(record.updated_at for record in records)


@pytest.mark.parametrize(
    ("stream", "path"), [("persons", "persons"), ("deals", "deals"), ("archived_deals", "deals/archived")]
)
def test_pipedrive_is_read_completely(sandbox, stream, path):
    pages = read_all(sandbox.provider("pipedrive"), stream)
    raw = sandbox.raw("pipedrive", f"api/v2/{path}", 7)
    assert ids(pages, KINDS.get(stream, "deals")) == [str(record["id"]) for record in raw]


def test_pipedrive_calls_meetings_and_lunches_are_read_and_nothing_else(sandbox):
    pages = read_all(sandbox.provider("pipedrive"), "activities")
    raw = sandbox.raw("pipedrive", "api/v2/activities", 100)
    assert len(pages) == -(-len(raw) // 500) > 1
    assert ids(pages, "activities") == [str(one["id"]) for one in raw if one["type"] in ("call", "meeting", "lunch")]


def test_pipedrive_tells_the_time_of_mail_that_cannot_be_read_and_attendees(sandbox):
    pipedrive = sandbox.provider("pipedrive")
    assert any(deal.mail_at for page in read_all(pipedrive, "deals") for deal in page.batch.deals)
    activities = [activity for page in read_all(pipedrive, "activities") for activity in page.batch.activities]
    participants = [one for activity in activities for one in activity.participants]
    assert any(one.address for one in participants)
    assert any(one.declined for one in participants)
    assert {one.part for one in participants} == {"attendee", "organiser"}


def test_pipedrive_fields_hold_role_and_title_when_chosen(sandbox):
    fields = sandbox.provider("pipedrive").fields()
    role = next(field.key for field in fields if field.use == "role" and "role" in field.label.lower())
    title = next(field.key for field in fields if field.use == "title" and len(field.key) == 40)
    pipedrive = sandbox.provider("pipedrive", role_field=role, title_field=title)
    [page] = read_all(pipedrive, "roles")
    offered = {record.label for record in page.batch.roles}
    contacts = [contact for page in read_all(pipedrive, "persons") for contact in page.batch.contacts]
    held = {label for contact in contacts for label in contact.roles}
    assert held
    assert held <= offered
    assert any(contact.job_title for contact in contacts)


def test_without_a_mapped_field_pipedrive_has_no_roles(sandbox):
    pipedrive = sandbox.provider("pipedrive")
    assert read_all(pipedrive, "roles")[0].batch.roles == []
    assert not any(contact.roles for page in read_all(pipedrive, "persons") for contact in page.batch.contacts)


@pytest.mark.parametrize("stream", ["companies", "contacts", "deals", *ACTIVITIES])
def test_hubspot_is_read_completely(sandbox, stream):
    pages = read_all(sandbox.provider("hubspot"), stream)
    raw = [record["id"] for record in sandbox.raw("hubspot", f"crm/objects/2026-09/{stream}", 13)]
    prefix = f"{stream}/" if stream in ACTIVITIES else ""
    size = 1000 if stream in ("deals", *ACTIVITIES) else 100  # the associations of ten lists are asked at once
    assert len(pages) == -(-len(raw) // size)
    assert ids(pages, KINDS.get(stream, "activities")) == [prefix + one for one in raw]


def test_hubspot_owners_are_read_archived_ones_too(sandbox):
    owners = [one for page in read_all(sandbox.provider("hubspot"), "owners") for one in page.batch.colleagues]
    assert {owner.active for owner in owners} == {True, False}


def test_hubspot_roles_are_buying_roles_and_labels_of_the_account(sandbox):
    hubspot = sandbox.provider("hubspot")
    [page] = read_all(hubspot, "roles")
    offered = {role.label for role in page.batch.roles}
    assert "Legal & Compliance" in offered
    on_contacts = {
        label for page in read_all(hubspot, "contacts") for one in page.batch.contacts for label in one.roles
    }
    deals = [deal for page in read_all(hubspot, "deals") for deal in page.batch.deals]
    on_deals = {label for deal in deals for contact in deal.contacts for label in contact.roles}
    assert on_contacts
    assert on_deals
    assert on_contacts | on_deals <= offered
    assert any(deal.company for deal in deals)


def test_hubspot_activities_know_their_deals_and_people(sandbox):
    hubspot = sandbox.provider("hubspot")
    known = set(ids(read_all(hubspot, "deals"), "deals"))
    for stream in ACTIVITIES:
        activities = [one for page in read_all(hubspot, stream) for one in page.batch.activities]
        assert any(activity.participants for activity in activities)
        assert {deal for activity in activities for deal in activity.deals} <= known
        assert any(activity.deals for activity in activities)


@pytest.mark.parametrize("stream", ["contacts", "deals", *ACTIVITIES])
@pytest.mark.parametrize("days", [1, 20, 4000])
def test_hubspot_changes_are_those_since_and_no_others(sandbox, stream, days):
    since = datetime.now(UTC) - timedelta(days=days)
    pages = read_all(sandbox.provider("hubspot"), stream, since)
    name = "lastmodifieddate" if stream == "contacts" else "hs_lastmodifieddate"
    raw = sandbox.raw("hubspot", f"crm/objects/2026-09/{stream}", 100, properties=name)
    changed = [one["id"] for one in raw if datetime.fromisoformat(one["properties"][name]) >= since]
    prefix = f"{stream}/" if stream in ACTIVITIES else ""
    assert ids(pages, KINDS.get(stream, "activities")) == [prefix + one for one in changed]


@pytest.mark.parametrize("stream", ["persons", "deals"])
@pytest.mark.parametrize("days", [1, 20, 4000])
def test_pipedrive_changes_are_those_since_and_no_others(sandbox, stream, days):
    since = datetime.now(UTC) - timedelta(days=days, microseconds=1)
    pages = read_all(sandbox.provider("pipedrive"), stream, since)
    raw = sandbox.raw("pipedrive", f"api/v2/{stream}", 100)
    changed = [one for one in raw if datetime.fromisoformat(one["update_time"]) >= since.replace(microsecond=0)]
    assert ids(pages, KINDS[stream]) == [str(one["id"]) for one in changed]


def test_a_pull_tells_what_was_deleted(sandbox):
    since = datetime.now(UTC) - timedelta(days=40)
    pages = read_all(sandbox.provider("pipedrive"), "archived_deals", since)
    deals = [deal for page in pages for deal in page.batch.deals]
    deleted = {str(one["id"]) for one in sandbox.raw("pipedrive", "api/v2/deals", 100, status="deleted")}
    assert deleted == {deal.external_id for deal in deals if deal.deleted} != set()
    assert any(deal.archived and not deal.deleted for deal in deals)

    batches = [page.batch for page in read_all(sandbox.provider("hubspot"), "archived", since)]
    found = {record.external_id for batch in batches for record in (*batch.deals, *batch.activities)}
    raw = sandbox.raw("hubspot", "crm/objects/2026-09/deals", 100, archived="true")
    recent = {one["id"] for one in raw if datetime.fromisoformat(one["archivedAt"]) >= since}
    assert found & {one["id"] for one in raw} == recent != set()
    assert all(record.deleted for batch in batches for record in (*batch.deals, *batch.activities))
    assert all(deal.contacts is None for batch in batches for deal in batch.deals)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_pull_tells_a_call_logged_since_and_nothing_of_before(sandbox, name):
    provider, stream = sandbox.provider(name), {"pipedrive": "activities", "hubspot": "calls"}[name]
    deal = read_all(provider, "deals")[0].batch.deals[0]
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # later than all invented data
    change = {"kind": "call", "deals": [deal.external_id], "time": "2026-11-14T15:00:00Z", "at": tomorrow.isoformat()}
    logged = sandbox.control("POST", f"{name}/activities", change)
    pages = [provider.read(stream, None, tomorrow - timedelta(minutes=5), tomorrow + timedelta(minutes=5))]
    [call] = [activity for page in pages for activity in page.batch.activities]
    assert call.external_id.endswith(str(logged["id"]))
    assert (call.kind, call.state, call.deals) == ("call", "held", (deal.external_id,))
    assert call.starts_at == datetime(2026, 11, 14, 15, tzinfo=UTC)
    assert pages[0].high_water == call.updated_at
    sandbox.control("DELETE", f"{name}/activities/{logged['id']}")
    assert call.external_id not in ids(read_all(provider, stream), "activities")


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_wrong_token_is_refused(sandbox, name):
    with pytest.raises(TokenRefused):
        sandbox.provider(name, "wrong").identify()


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_token_without_permission_is_told_so(sandbox, name):
    with pytest.raises(MissingPermission) as caught:
        sandbox.provider(name, f"{TOKENS[name]}-limited").read("deals", None, None, datetime.now(UTC))
    assert caught.value.what.endswith("/deals")


def test_hubspot_names_the_missing_scope_when_connecting(sandbox):
    with pytest.raises(MissingPermission) as caught:
        sandbox.provider("hubspot", "any-limited").identify()
    assert caught.value.scopes == ("crm.objects.deals.read",)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "how", "error", "code"),
    [
        (401, {}, TokenRefused, "token_refused"),
        (403, {}, MissingPermission, "missing_permission"),
        ("html403", {}, RateLimited, "rate_limited"),
        (429, {"retry_after": 100}, RateLimited, "rate_limited"),
        (429, {"daily": True}, RateLimited, "daily_limit"),
        (500, {}, CrmDown, "crm_down"),
        (503, {}, CrmDown, "crm_down"),
        ("down", {}, CrmDown, "crm_down"),
        (400, {}, UnexpectedAnswer, "unexpected_answer"),
    ],
)
def test_every_refusal_has_its_error_and_the_next_attempt_goes_on(sandbox, name, status, how, error, code):
    provider = sandbox.provider(name)
    sandbox.fail(name, status, **how)
    with pytest.raises(error) as caught:
        provider.read("deals", None, None, datetime.now(UTC))
    assert caught.value.code == code
    assert TOKENS[name] not in f"{caught.value!r} {vars(caught.value)}"
    sandbox.heal()
    assert provider.read("deals", None, None, datetime.now(UTC)).count > 0


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("status", [429, 500, "down"])
def test_one_failure_is_waited_out(sandbox, name, status):
    sandbox.fail(name, status, count=1)
    assert sandbox.provider(name).read("deals", None, None, datetime.now(UTC)).count > 0


def test_nothing_listens(sandbox):
    with pytest.raises(CrmDown):
        Pipedrive("token", "http://127.0.0.1:1").identify()


@pytest.mark.parametrize("provider", [Pipedrive, HubSpot])
def test_an_unknown_stream_is_a_mistake_of_the_caller(sandbox, provider):
    with pytest.raises(ValueError, match="no stream"):
        sandbox.provider(provider.name).read("leads", None, None, datetime.now(UTC))
