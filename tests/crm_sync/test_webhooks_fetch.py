"""Objects read again by their ids are what the lists gave, and what the CRM does not know any more is named."""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import Provider, UnexpectedAnswer
from tests.sandbox import Sandbox

TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}
STREAMS = {
    "pipedrive": ("organizations", "persons", "deals", "activities"),
    "hubspot": ("companies", "contacts", "deals", "calls", "emails", "meetings", "communications"),
}
EVERY = [(crm, stream) for crm, streams in STREAMS.items() for stream in streams]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("fetch"), deals=150) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    yield server
    server.heal()


def provider(sandbox: Sandbox, crm: str) -> Provider:
    return PROVIDERS[crm](TOKENS[crm], f"{sandbox.url}/{crm}", time_zone="Europe/Paris", currency="EUR")


def read_all(crm: Provider, stream: str) -> dict[str, object]:
    """The records of a stream by id; None for an activity that is no interaction."""
    found, cursor, until = {}, None, datetime.now(UTC)
    while True:
        page = crm.read(stream, cursor, None, until)
        found |= by_id(page)
        cursor = page.cursor
        if cursor is None:
            return found


def by_id(page) -> dict[str, object]:
    lists = [getattr(page.batch, field.name) or () for field in fields(page.batch)]
    records = {one.external_id: one for some in lists for one in some if hasattr(one, "external_id")}
    return records | dict.fromkeys(page.batch.other_activities)


@pytest.mark.parametrize(("crm", "stream"), EVERY)
def test_an_object_fetched_by_its_id_is_the_one_that_was_read(sandbox: Sandbox, crm: str, stream: str) -> None:
    read = read_all(provider(sandbox, crm), stream)
    assert len(read) > 20
    page = provider(sandbox, crm).fetch(stream, list(read))
    assert by_id(page) == read
    assert page.count == len(read)
    assert (page.cursor, page.gone) == (None, ())


@pytest.mark.parametrize(("crm", "stream"), EVERY)
def test_what_the_crm_never_knew_is_gone(sandbox: Sandbox, crm: str, stream: str) -> None:
    [known, *_] = read_all(provider(sandbox, crm), stream)
    prefix = known.rpartition("/")[0] + "/" if "/" in known else ""
    page = provider(sandbox, crm).fetch(stream, [f"{prefix}999999999", known, f"{prefix}888888888", known])
    assert set(by_id(page)) == {known}
    assert page.gone == (f"{prefix}999999999", f"{prefix}888888888")


@pytest.mark.parametrize(
    ("crm", "stream", "ids", "requests"),
    [
        ("pipedrive", "persons", 99, 1),
        ("pipedrive", "persons", 100, 1),
        ("pipedrive", "persons", 101, 2),
        ("pipedrive", "activities", 201, 3),
        ("hubspot", "contacts", 100, 1),
        ("hubspot", "contacts", 101, 2),
        ("hubspot", "deals", 100, 3),  # each with its contacts and companies, 1,000 of them in one request
        ("hubspot", "deals", 101, 4),
    ],
)
def test_a_hundred_objects_are_one_request(sandbox: Sandbox, crm: str, stream: str, ids: int, requests: int) -> None:
    found = list(read_all(provider(sandbox, crm), stream))[:ids]
    fresh = provider(sandbox, crm)
    fresh.fetch(stream, found[:1])  # learns the fields and labels
    sandbox.forget_requests()
    fresh.fetch(stream, found)
    assert len(found) == ids
    assert len(sandbox.requests()) == requests


@pytest.mark.parametrize("crm", TOKENS)
def test_a_deleted_deal_comes_as_deleted(sandbox: Sandbox, crm: str) -> None:
    [lost, kept, *_] = read_all(provider(sandbox, crm), "deals")
    sandbox.change(crm, "deals", lost, {"deleted": True})
    page = provider(sandbox, crm).fetch("deals", [lost, kept])
    assert {deal.external_id: deal.deleted for deal in page.batch.deals} == {lost: True, kept: False}
    assert page.gone == ()
    sandbox.change(crm, "deals", lost, {"deleted": False})


def test_an_archived_deal_of_pipedrive_is_archived_and_not_deleted(sandbox: Sandbox) -> None:
    [stored, *_] = read_all(provider(sandbox, "pipedrive"), "deals")
    sandbox.change("pipedrive", "deals", stored, {"archived": True})
    page = provider(sandbox, "pipedrive").fetch("deals", [stored])
    assert [(deal.archived, deal.deleted) for deal in page.batch.deals] == [(True, False)]
    sandbox.change("pipedrive", "deals", stored, {"archived": False})


@pytest.mark.parametrize(("crm", "stream"), [("pipedrive", "persons"), ("hubspot", "contacts")])
def test_a_deleted_contact_is_gone_or_comes_as_deleted(sandbox: Sandbox, crm: str, stream: str) -> None:
    [lost, *_] = read_all(provider(sandbox, crm), stream)
    sandbox.change(crm, "contacts", lost, {"deleted": True})
    page = provider(sandbox, crm).fetch(stream, [lost])
    told = {contact.external_id for contact in page.batch.contacts if contact.deleted}
    assert told | set(page.gone) == {lost}
    sandbox.change(crm, "contacts", lost, {"deleted": False})


@pytest.mark.parametrize(
    ("crm", "stream", "id"),
    [
        ("pipedrive", "deals", "1,2"),
        ("pipedrive", "deals", ""),
        ("pipedrive", "activities", "mail/7"),  # an activity of our own making
        ("pipedrive", "deals", "1" * 20),
        ("pipedrive", "users", "1"),
        ("hubspot", "calls", "7"),
        ("hubspot", "calls", "emails/7"),
        ("hubspot", "deals", "7/8"),
        ("hubspot", "owners", "7"),
    ],
)
def test_what_cannot_be_an_id_is_never_asked(sandbox: Sandbox, crm: str, stream: str, id: str) -> None:
    with pytest.raises(ValueError, match=r"is no id|no ids of"):
        provider(sandbox, crm).fetch(stream, [id])
    assert sandbox.requests() == []


def test_no_ids_are_no_requests(sandbox: Sandbox) -> None:
    for crm, stream in EVERY:
        page = provider(sandbox, crm).fetch(stream, [])
        assert (page.count, page.gone, page.high_water) == (0, (), None)
    assert sandbox.requests() == []


class HalfBroken(BaseHTTPRequestHandler):
    """A HubSpot that answers 207 with an error that does not say "unknown"."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        errors = [{"status": "error", "category": "INTERNAL_ERROR", "message": "try later"}]
        body = json.dumps({"status": "COMPLETE", "results": [], "numErrors": 1, "errors": errors}).encode()
        self.send_response(207)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_batch_of_which_a_part_failed_is_no_answer() -> None:
    with HTTPServer(("127.0.0.1", 0), HalfBroken) as server:
        Thread(target=server.handle_request, daemon=True).start()
        hubspot = PROVIDERS["hubspot"](TOKENS["hubspot"], f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(UnexpectedAnswer, match="not all could be read"):
            hubspot.fetch("deals", ["7"])
