"""Both CRMs tell what changes, by their own delivery rules, to a receiver that knows nothing of the product."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from crm_sandbox.store import Crm, Row
from crm_sandbox.webhooks import HubSpotWebhooks
from tests.crm_sandbox.conftest import Client
from tests.processes import wait_for

PAYLOADS = Path(__file__).parent.parent / "payloads"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; answers with the next of `answers`, else 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[tuple[float, dict[str, str], Any, bytes]] = []
        self.answers: list[int] = []
        self.always = 200
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook/?x=1"

    def bodies(self) -> list[Any]:
        return [body for _, _, body, _ in self.posts]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.posts.append((time.monotonic(), headers, json.loads(raw), raw))
        self.send_response(self.server.answers.pop(0) if self.server.answers else self.server.always)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def crm(own_crms: Client) -> Iterator[Client]:
    yield own_crms
    for name in ("pipedrive", "hubspot"):
        own_crms.control("DELETE", f"{name}/webhooks")


def hook(crm: Client, url: str, **more: Any) -> Any:
    body = {"subscription_url": url, "event_action": "*", "event_object": "deal", "name": "Test", **more}
    answer = crm.call("pipedrive", "api/v1/webhooks", body)
    return answer.status_code, answer.json()


def until(what: Callable[[], bool]) -> None:
    wait_for(what, 5)


def quiet(crm: Client, name: str) -> bool:
    return bool(crm.control("GET", f"{name}/webhooks")["waiting"] == 0)


def shape(value: Any) -> Any:
    return {key: type(part).__name__ for key, part in value.items()}


# ---- Pipedrive


def test_a_webhook_of_pipedrive_is_registered_listed_and_deleted_as_published(crm: Client, receiver: Receiver) -> None:
    status, made = hook(crm, receiver.url, http_auth_user="u", http_auth_password="p")
    published = json.loads((PAYLOADS / "pipedrive" / "v1_webhook_create_response.json").read_text())
    assert status == 201
    assert made["data"].keys() == published["data"].keys()
    listed = crm.pipedrive("webhooks", version="v1")
    assert listed["data"] == [made["data"]]
    assert listed.keys() == json.loads((PAYLOADS / "pipedrive" / "v1_webhooks_list.json").read_text()).keys()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"subscription_url": "ftp://x"}, "subscription_url"),
        ({"subscription_url": ""}, "subscription_url"),
        ({"event_action": "added"}, "event_action"),
        ({"event_object": "mail"}, "event_object"),
        ({"name": ""}, "name"),
    ],
)
def test_a_senseless_webhook_is_refused_as_published(crm: Client, wrong: dict[str, str], named: str) -> None:
    status, answer = hook(crm, "http://127.0.0.1:9/", **wrong)
    published = json.loads((PAYLOADS / "pipedrive" / "v1_webhook_create_400.json").read_text())
    assert (status, answer.keys()) == (400, published.keys())
    assert list(answer["errors"]) == [named]


def test_a_token_without_permission_registers_nothing(crm: Client) -> None:
    answer = crm.call("pipedrive", "api/v1/webhooks", headers={"x-api-token": "sandbox-pipedrive-token-limited"})
    assert answer.status_code == 403


def test_pipedrive_tells_what_happens_to_a_deal_as_published(crm: Client, receiver: Receiver) -> None:
    hook(crm, receiver.url, http_auth_user="u", http_auth_password="p")
    deal = crm.control("POST", "pipedrive/deals", {"title": "New"})["id"]
    crm.control("POST", f"pipedrive/deals/{deal}", {"title": "Renamed"})
    crm.control("POST", f"pipedrive/deals/{deal}", {"deleted": True})
    until(lambda: len(receiver.posts) == 3)
    told = sorted(receiver.bodies(), key=lambda event: event["meta"]["id"])
    assert [event["meta"]["action"] for event in told] == ["create", "change", "delete"]
    assert {event["meta"]["entity_id"] for event in told} == {str(deal)}
    assert told[1]["previous"].keys() <= {"title", "update_time"}
    assert told[1]["data"]["title"] == "Renamed"
    assert told[2]["data"] is None
    published = json.loads((PAYLOADS / "pipedrive" / "webhook_v2_deal_change.json").read_text())
    assert shape(told[1]["meta"]) == shape(published["meta"])
    assert told[1].keys() == published.keys()
    assert receiver.posts[0][1]["authorization"] == "Basic " + base64.b64encode(b"u:p").decode()


def test_pipedrive_tells_only_what_was_asked_for(crm: Client, receiver: Receiver) -> None:
    hook(crm, receiver.url, event_object="activity", event_action="create")
    deal = crm.control("POST", "pipedrive/deals", {"title": "New"})["id"]
    logged = crm.control("POST", "pipedrive/activities", {"kind": "call", "deals": [deal]})
    crm.control("POST", f"pipedrive/activities/{logged['id']}", {"subject": "Changed"})
    until(lambda: quiet(crm, "pipedrive") and len(receiver.posts) == 1)
    assert receiver.bodies()[0]["meta"]["entity"] == "activity"


def test_a_merge_is_a_deletion_that_names_the_survivor(crm: Client, receiver: Receiver) -> None:
    hook(crm, receiver.url)
    one, other = (crm.control("POST", "pipedrive/deals", {"title": name})["id"] for name in "ab")
    crm.control("POST", "pipedrive/changes", {"change": "merge", "kind": "deals", "ids": [one], "into": other})
    until(lambda: any("merged_to_id" in event["meta"] for event in receiver.bodies()))
    [told] = [event["meta"] for event in receiver.bodies() if "merged_to_id" in event["meta"]]
    assert (told["action"], told["entity_id"], told["merged_to_id"]) == ("delete", str(one), str(other))


@pytest.mark.parametrize(("answers", "tries"), [([500], 2), ([302, 404], 3), ([500] * 3, 4), ([500] * 9, 4)])
def test_pipedrive_comes_again_three_times(crm: Client, receiver: Receiver, answers: list[int], tries: int) -> None:
    crm.control("POST", "pipedrive/webhooks", {"pace": 0.001})  # 3, 30 and 150 milliseconds
    receiver.answers = answers
    hook(crm, receiver.url)
    crm.control("POST", "pipedrive/deals", {"title": "New"})
    until(lambda: len(receiver.posts) >= tries and quiet(crm, "pipedrive"))
    assert [event["meta"]["attempt"] for event in receiver.bodies()] == list(range(1, tries + 1))
    assert len({event["meta"]["id"] for event in receiver.bodies()}) == 1
    gaps = [after[0] - before[0] for before, after in zip(receiver.posts, receiver.posts[1:], strict=False)]
    assert all(gap >= least for gap, least in zip(gaps, (0.003, 0.03, 0.15), strict=False))


def test_ten_failures_ban_a_webhook_and_its_events_are_lost(crm: Client, receiver: Receiver) -> None:
    crm.control("POST", "pipedrive/webhooks", {"pace": 0.002})  # a ban of 3.6 s
    receiver.always = 500
    hook(crm, receiver.url)
    for number in range(10):
        crm.control("POST", "pipedrive/deals", {"title": str(number)})
        until(lambda number=number: crm.control("GET", "pipedrive/webhooks")["counts"].get("failed", 0) > number)
    until(lambda: quiet(crm, "pipedrive"))
    before = len(receiver.posts)
    assert before == 40
    crm.control("POST", "pipedrive/deals", {"title": "lost"})
    assert crm.control("GET", "pipedrive/webhooks")["counts"]["lost"] == 1


def test_three_bad_days_delete_a_webhook(crm: Client, receiver: Receiver) -> None:
    crm.control("POST", "pipedrive/webhooks", {"pace": 0.000_000_1})  # three days are 26 ms
    receiver.always = 500
    hook(crm, receiver.url)
    time.sleep(0.03)
    crm.control("POST", "pipedrive/deals", {"title": "New"})
    until(lambda: crm.pipedrive("webhooks", version="v1")["data"] == [])


# ---- HubSpot


def test_hubspot_signs_what_it_tells(crm: Client, receiver: Receiver) -> None:
    crm.control("POST", "hubspot/webhooks", {"url": receiver.url})
    crm.control("POST", "hubspot/deals", {"dealname": "New"})
    until(lambda: len(receiver.posts) == 1)
    _, headers, [event], raw = receiver.posts[0]
    timestamp = headers["x-hubspot-request-timestamp"]
    source = b"POST" + receiver.url.encode() + raw + timestamp.encode()
    signed = base64.b64encode(hmac.new(b"sandbox-app-secret", source, hashlib.sha256).digest()).decode()
    assert headers["x-hubspot-signature-v3"] == signed
    assert abs(time.time() * 1000 - int(timestamp)) < 10_000
    [published] = json.loads((PAYLOADS / "hubspot" / "webhook_sdk_fixture_contact_creation.json").read_text())
    assert event["subscriptionType"] == "deal.creation"
    assert shape(event) == shape(published)


def test_hubspot_tells_each_property_and_activities_by_their_type(crm: Client, receiver: Receiver) -> None:
    deal = crm.control("POST", "hubspot/deals", {"dealname": "New"})["id"]
    crm.control("POST", "hubspot/webhooks", {"url": receiver.url})
    crm.control("POST", f"hubspot/deals/{deal}", {"dealname": "Renamed", "amount": "7"})
    crm.control("POST", f"hubspot/deals/{deal}", {"deleted": True})
    crm.control("POST", f"hubspot/deals/{deal}", {"deleted": False})
    crm.control("POST", "hubspot/activities", {"kind": "meeting", "deals": [deal]})
    until(lambda: sum(map(len, receiver.bodies())) >= 6 and quiet(crm, "hubspot"))
    told = sorted((event for body in receiver.bodies() for event in body), key=lambda event: event["eventId"])
    assert {e["propertyName"] for e in told if e["subscriptionType"] == "deal.propertyChange"} >= {"dealname", "amount"}
    kinds = [event["subscriptionType"] for event in told]
    assert kinds[-3:] == ["deal.deletion", "deal.restore", "object.creation"]
    assert told[-1]["objectTypeId"] == "0-47"


@pytest.mark.parametrize(("events", "requests"), [(99, 1), (100, 1), (101, 2), (250, 3)])
def test_a_request_of_hubspot_holds_a_hundred_events(receiver: Receiver, events: int, requests: int) -> None:
    crm = Crm(["deals"])
    crm.fixed["account"] = {"portalId": 1}
    hubspot = HubSpotWebhooks(crm)
    hubspot.listen(receiver.url, "secret")
    for id in range(events):
        hubspot.changed("deals", Row(id, 0, {}), None)
    until(lambda: len(receiver.posts) >= requests and not hubspot.courier.waiting)
    assert len(receiver.posts) == requests
    assert sorted(event["objectId"] for body in receiver.bodies() for event in body) == list(range(events))


def test_hubspot_comes_again_ten_times(crm: Client, receiver: Receiver) -> None:
    crm.control("POST", "hubspot/webhooks", {"url": receiver.url, "pace": 0.000_001})
    receiver.always = 503
    crm.control("POST", "hubspot/deals", {"dealname": "New"})
    until(lambda: len(receiver.posts) >= 11 and quiet(crm, "hubspot"))
    assert [body[0]["attemptNumber"] for body in receiver.bodies()] == list(range(11))


# ---- Networks


def test_deliveries_may_be_lost_doubled_late_and_out_of_order(crm: Client, receiver: Receiver) -> None:
    hook(crm, receiver.url)
    crm.control("POST", "pipedrive/webhooks", {"drop": 1})
    crm.control("POST", "pipedrive/deals", {"title": "Dropped"})
    assert crm.control("GET", "pipedrive/webhooks")["counts"]["dropped"] == 1
    crm.control("POST", "pipedrive/webhooks", {"drop": 0, "duplicates": 1, "delay": 0.1, "shuffle": 0.2})
    began = time.monotonic()
    for number in range(10):
        crm.control("POST", "pipedrive/deals", {"title": f"Deal {number}"})
    until(lambda: len(receiver.posts) == 20)
    titles = [event["data"]["title"] for event in receiver.bodies()]
    assert {title: titles.count(title) for title in titles} == {f"Deal {number}": 2 for number in range(10)}
    assert titles != sorted(titles)
    assert receiver.posts[0][0] - began >= 0.1
    until(lambda: not crm.control("GET", "pipedrive/webhooks")["waiting"])
    told = crm.control("GET", "pipedrive/webhooks/acknowledged")["events"]
    assert [kind for kind, _, _, _ in told] == ["deal"] * 11
    assert sum(acknowledged for *_, acknowledged in told) == 10


@pytest.mark.parametrize("wrong", [{"pace": -1}, {"pace": "x"}, {"unknown": 1}])
def test_unknown_manners_are_refused(crm: Client, wrong: dict[str, Any]) -> None:
    crm.control("POST", "pipedrive/webhooks", wrong, status=400)
