"""Deliveries posted to the real addresses, kept and worked off against the sandbox: nothing is lost, doubled or out of
order, and nobody is let in."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import queue
from alerts.models import Alert, Pending
from crm_sync import locks, sync, webhook_events, webhook_tasks, webhooks
from crm_sync.models import Connection, SyncRun, WebhookEvent, WebhookFeed, WebhookRoute
from crm_sync.webhooks import Bell, Secret
from deals.clock import Clock
from deals.models import Activity, Deal, DealActivity, FieldChange, Source
from deals.upsert import upsert
from tests.crm_sync.webhook_posts import (
    HUBSPOT,
    SECRET,
    SITE,
    hubspot_event,
    pipedrive_event,
    post_hubspot,
    post_pipedrive,
)
from tests.sandbox import Sandbox

AMOUNT = {"pipedrive": "value", "hubspot": "amount"}
DEALS: dict[str, list[str]] = {}  # ids of the sandbox's, open or not
TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("webhooks"), deals=130) as sandbox:
        for crm in TOKENS:
            rows = sandbox.raw(crm)["tables"]["deals"]
            DEALS[crm] = [str(row["id"]) for row in rows if not row["deleted"] and not row["archived"]]
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    with override_settings(
        PIPEDRIVE_API_URL=f"{server.url}/pipedrive",
        HUBSPOT_API_URL=f"{server.url}/hubspot",
        HUBSPOT_CLIENT_SECRET=SECRET,
        SITE_URL=SITE,
    ):
        yield server
    server.heal()


@pytest.fixture
def organisation(db: None) -> Organisation:
    return Organisation.objects.create(name="Test", time_zone="Europe/Paris")


def connected(organisation: Organisation, provider: str) -> Connection:
    """As after a first synchronisation in which there was one deal."""
    with tenant(organisation):
        connection = sync.connect(organisation, provider, TOKENS[provider])
        SyncRun.objects.update(finished_at=sync.now())
        Source.objects.update(first_synced_at=sync.now())
        source, ref = connection.source, DEALS[provider][0]
        page = sync.provider_of(connection).fetch("deals", [ref])
        upsert(source, page.batch, Clock.of(organisation))
    return connection


def judge(organisation: Organisation) -> None:
    """Evaluate what is marked, without the pause after the last time."""
    with tenant(organisation):
        queue.evaluate_pending(organisation, Clock.of(organisation))


def kept(organisation: Organisation) -> list[WebhookEvent]:
    with tenant(organisation):
        return list(WebhookEvent.objects.order_by("pk"))


def the_deal(organisation: Organisation) -> Deal:
    with tenant(organisation):
        return Deal.objects.get()


def again(deal: Deal) -> Deal:
    with tenant(deal.organisation_id):
        deal.refresh_from_db()
    return deal


def routed(connection: Connection) -> Secret:
    """A Pipedrive connection with its secret address, as after its registration."""
    with tenant(connection.organisation_id):
        feed, _ = WebhookFeed.objects.get_or_create(organisation=connection.organisation, connection=connection)
    return webhooks._secret_of(connection, feed)


def pipedrive(connection: Connection, secret: Secret, id: str, *args: str, **meta: Any) -> Any:
    event = pipedrive_event(connection.source.account_id, id, *args, **meta)
    return post_pipedrive(secret.address, event, password=secret.password)


# ---- A change arrives


def test_a_change_at_hubspot_is_an_alert_without_any_reading_of_lists(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    connection = connected(organisation, "hubspot")
    deal = the_deal(organisation)
    sandbox.change("hubspot", "deals", deal.external_id, {"amount": None, "dealname": "Told"})
    sandbox.forget_requests()
    portal = connection.source.account_id
    assert post_hubspot([hubspot_event(portal, deal.external_id)]).status_code == 200
    assert [(e.stream, e.ref, e.done_at) for e in kept(organisation)] == [("deals", deal.external_id, None)]
    webhook_tasks.drain(organisation.pk, connection.pk)
    assert again(deal).title == "Told"
    judge(organisation)
    with tenant(organisation):
        assert Alert.objects.filter(deal=deal, kind="amount_empty", resolved_at=None).exists()
    assert len(sandbox.requests()) == 3  # the deal, its contacts, its companies
    assert all(event.done_at for event in kept(organisation))


def test_a_change_at_pipedrive_arrives_through_the_secret_address(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    secret, deal = routed(connection), the_deal(organisation)
    sandbox.change("pipedrive", "deals", deal.external_id, {"title": "Told"})
    assert pipedrive(connection, secret, deal.external_id).status_code == 202
    assert not webhooks.drain(organisation.pk, connection.pk)
    assert again(deal).title == "Told"


def test_a_new_call_counts_at_once(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    deal = the_deal(organisation)
    logged = sandbox.log("hubspot", {"kind": "call", "deals": [int(deal.external_id)]})
    event = hubspot_event(connection.source.account_id, logged["id"], "object.creation", objectTypeId="0-48")
    post_hubspot([event])
    webhooks.drain(organisation.pk, connection.pk)
    with tenant(organisation):
        call = Activity.objects.get(external_id=f"calls/{logged['id']}")
        assert DealActivity.objects.get(activity=call).deal_id == deal.pk
        assert Pending.objects.filter(deal=deal).exists()


@pytest.mark.parametrize("provider", TOKENS)
def test_a_deleted_deal_is_marked_as_deleted(sandbox: Sandbox, organisation: Organisation, provider: str) -> None:
    connection = connected(organisation, provider)
    deal = the_deal(organisation)
    sandbox.change(provider, "deals", deal.external_id, {"deleted": True})
    tell(connection, deal.external_id)
    webhooks.drain(organisation.pk, connection.pk)
    assert again(deal).deleted
    sandbox.change(provider, "deals", deal.external_id, {"deleted": False})


def test_what_the_crm_does_not_know_any_more_is_marked_as_deleted(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    deal = the_deal(organisation)
    logged = sandbox.log("pipedrive", {"kind": "call", "deals": [int(deal.external_id)]})
    secret, id = routed(connection), str(logged["id"])
    pipedrive(connection, secret, id, "activity", "create")
    webhooks.drain(organisation.pk, connection.pk)
    sandbox._control("DELETE", f"pipedrive/activities/{id}")
    assert pipedrive(connection, secret, id, "activity", "delete").status_code == 202
    webhooks.drain(organisation.pk, connection.pk)
    with tenant(organisation):
        assert Activity.objects.get(external_id=str(logged["id"])).deleted


def tell(connection: Connection, id: str) -> Any:
    """A deal of any CRM has changed."""
    if connection.provider == "hubspot":
        return post_hubspot([hubspot_event(connection.source.account_id, id)])
    return pipedrive(connection, routed(connection), id)


# ---- Duplicates, order, trouble


@pytest.mark.parametrize("provider", TOKENS)
def test_a_delivery_that_comes_twice_is_one_row_and_no_further_alert(
    sandbox: Sandbox, organisation: Organisation, provider: str
) -> None:
    connection = connected(organisation, provider)
    deal = the_deal(organisation)
    sandbox.change(provider, "deals", deal.external_id, {"amount": None})
    alerts = []
    for _ in range(3):
        tell(connection, deal.external_id)
        webhook_tasks.drain(organisation.pk, connection.pk)
        judge(organisation)
        with tenant(organisation):
            alerts.append(Alert.objects.filter(deal=deal).count())
    assert len(kept(organisation)) == 1
    assert len(set(alerts)) == 1


def test_five_events_end_in_the_same_state_in_every_order(sandbox: Sandbox, organisation: Organisation) -> None:
    """A hundred and twenty deals, each told in another order and one event after the other."""
    connection = connected(organisation, "pipedrive")
    secret, orders = routed(connection), list(permutations(["create", "change", "update", "delete", "restore"]))
    deals = DEALS["pipedrive"][: len(orders)]
    assert len(deals) == 120
    for ref in deals:
        sandbox.change("pipedrive", "deals", ref, {"title": "Deleted", "deleted": True})
        sandbox.change("pipedrive", "deals", ref, {"title": "Last", "amount": None, "status": "won", "deleted": False})
    route = webhooks.route_of(secret.address)
    assert route is not None
    for turn in range(5):
        told = [pipedrive_event(route.account_id, ref, "deal", orders[n][turn]) for n, ref in enumerate(deals)]
        for event in told:
            event["meta"]["id"] = f"event {turn}"
        read = [webhook_events.pipedrive(json.dumps(event).encode(), sync.now())[1] for event in told]
        webhooks.of_pipedrive(route, [event for some in read for event in some])
        webhooks.drain(organisation.pk, connection.pk)
        with tenant(organisation):
            found = Deal.objects.filter(external_id__in=deals)
            states = set(found.values_list("title", "amount", "status", "deleted"))
            assert states == {("Last", 0, "won", False)}
            assert found.count() == 120
    assert len(kept(organisation)) == 600
    assert all(event.done_at for event in kept(organisation))


def test_an_older_version_that_comes_late_changes_nothing(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    deal = the_deal(organisation)
    with tenant(organisation):
        later = deal.updated_at + timedelta(days=2)
        Deal.objects.filter(pk=deal.pk).update(title="Newer", updated_at=later)
        changes = FieldChange.objects.count()
    tell(connection, deal.external_id)
    webhooks.drain(organisation.pk, connection.pk)
    assert again(deal).title == "Newer"
    with tenant(organisation):
        assert FieldChange.objects.count() == changes


@pytest.mark.parametrize(
    ("provider", "status", "more"),
    [
        ("hubspot", 500, {}),
        ("pipedrive", "down", {}),
        ("hubspot", 429, {"retry_after": 120}),
        ("pipedrive", 429, {"retry_after": 120}),
        ("hubspot", 429, {"daily": True}),
        ("pipedrive", 401, {}),
    ],
)
def test_a_failing_crm_keeps_the_events(
    sandbox: Sandbox, organisation: Organisation, provider: str, status: Any, more: Any
) -> None:
    connection, price = connected(organisation, provider), 4711 + len(f"{status}{more}")
    deal = the_deal(organisation)
    sandbox.change(provider, "deals", deal.external_id, {AMOUNT[provider]: price})
    tell(connection, deal.external_id)
    sandbox.fail(provider, status, count=50, **more)
    assert not webhooks.drain(organisation.pk, connection.pk)
    [event] = kept(organisation)
    assert (event.attempts, event.done_at) == (0, None)
    with tenant(organisation):
        feed = WebhookFeed.objects.get()
        assert feed.failures == 1
        assert feed.retry_at is not None
        assert webhooks.due(organisation, sync.now()) == []
        assert webhooks.due(organisation, feed.retry_at + timedelta(seconds=1)) == [connection.pk]
    sandbox.heal()
    sandbox.forget_requests()
    assert not webhooks.drain(organisation.pk, connection.pk)
    assert sandbox.requests() == []  # not before its time
    with tenant(organisation):
        WebhookFeed.objects.update(retry_at=None)
    redis.Redis.from_url(settings.REDIS_URL).flushdb()  # a pause that the CRM asked for lies there
    webhooks.drain(organisation.pk, connection.pk)
    assert again(deal).amount == price
    with tenant(organisation):
        assert WebhookFeed.objects.get().failures == 0


def test_a_poison_event_is_parked_and_told_and_the_others_arrive(
    sandbox: Sandbox, organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    connection = connected(organisation, "hubspot")
    deal, portal = the_deal(organisation), connection.source.account_id
    sandbox.change("hubspot", "deals", deal.external_id, {"dealname": "Well"})
    # An id beyond what the sandbox takes for a number: the whole request is refused for it.
    post_hubspot([hubspot_event(portal, deal.external_id), hubspot_event(portal, 7, "contact.creation")])
    with tenant(organisation):
        WebhookEvent.objects.filter(stream="contacts").update(ref="poison")
    for attempt in range(1, 8):
        webhooks.drain(organisation.pk, connection.pk)
        [good, bad] = sorted(kept(organisation), key=lambda event: event.stream == "contacts")
        assert good.done_at
        assert (bad.done_at, bad.attempts) == (None, min(attempt, webhooks.ATTEMPTS))
        with tenant(organisation):
            WebhookEvent.objects.update(retry_at=None)
    assert again(deal).title == "Well"
    with tenant(organisation):
        assert webhooks.parked(connection).count() == 1
        assert webhooks.due(organisation, sync.now()) == []
    assert [record.levelname for record in caplog.records if "parked" in record.message] == ["ERROR"]


def test_what_failed_once_holds_nobody_else_up(sandbox: Sandbox, organisation: Organisation) -> None:
    """An id that spoils a request is asked alone the second time, and the others of its request are, too."""
    connection = connected(organisation, "hubspot")
    portal = connection.source.account_id
    refs = DEALS["hubspot"][:4]
    post_hubspot([hubspot_event(portal, ref, eventId=int(ref)) for ref in refs])
    with tenant(organisation):
        WebhookEvent.objects.filter(ref=refs[1]).update(ref="poison")
    webhooks.drain(organisation.pk, connection.pk)
    assert [event.done_at for event in kept(organisation)] == [None] * 4
    with tenant(organisation):
        WebhookEvent.objects.update(retry_at=None)
    webhooks.drain(organisation.pk, connection.pk)
    assert sorted(event.ref for event in kept(organisation) if not event.done_at) == ["poison"]


def test_a_worker_that_dies_leaves_its_batch_to_the_next(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    deal = the_deal(organisation)
    tell(connection, deal.external_id)
    with tenant(organisation):
        claimed = webhooks._claim(webhooks._workable(organisation.pk, connection.pk))  # and no more of it is heard
        assert len(claimed) == 1
        assert webhooks.due(organisation, sync.now()) == []
        assert webhooks.due(organisation, sync.now() + timedelta(seconds=webhooks.LEASE + 1)) == [connection.pk]
        WebhookEvent.objects.update(retry_at=None)
    webhooks.drain(organisation.pk, connection.pk)
    assert kept(organisation)[0].done_at


def test_a_hundred_objects_are_one_request(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "pipedrive")
    secret = routed(connection)
    refs = DEALS["pipedrive"][:25]
    for number in range(100):  # four changes each
        pipedrive(connection, secret, refs[number % 25], timestamp=f"2026-11-22T09:00:00.{number:03d}Z")
    assert len(kept(organisation)) == 100
    sandbox.forget_requests()
    webhooks.drain(organisation.pk, connection.pk)
    assert len(sandbox.requests()) == 1
    assert all(event.done_at for event in kept(organisation))


def test_the_sweep_finds_what_a_lost_ring_left(
    sandbox: Sandbox, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connected(organisation, "hubspot")
    deal = the_deal(organisation)
    with override_settings(CELERY_BROKER_URL="redis://127.0.0.1:1/0"):
        assert tell(connection, deal.external_id).status_code == 200
    with tenant(organisation):
        assert webhooks.due(organisation, sync.now()) == [connection.pk]
        assert webhooks.unchecked(organisation, sync.now()) == [connection.pk]


def test_one_conversation_at_a_time_and_one_worker_that_waits_for_it(transactional_db: None) -> None:
    other = database.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, 7)", [locks._CONVERSATION])
            began = time.monotonic()
            with locks.conversation(7, patience=1) as taken:
                assert not taken
            assert 1 <= time.monotonic() - began < 5
            with locks.conversation(8, patience=1) as taken:  # another connection's
                assert taken
            cursor.execute("SELECT pg_advisory_unlock(%s, 7)", [locks._CONVERSATION])
            for patience in (1, None):
                with locks.conversation(7, patience=patience) as taken:
                    assert taken
            cursor.execute("SELECT pg_advisory_lock(%s, 7)", [locks._WAITING])
            began = time.monotonic()
            with locks.conversation(7, patience=1) as taken:
                assert not taken
            assert time.monotonic() - began < 1
            cursor.execute("SELECT pg_try_advisory_lock(%s, 7)", [locks._CONVERSATION])
            assert cursor.fetchone()[0]  # nothing was kept
    finally:
        other.close()


def test_nothing_is_worked_off_while_the_token_is_refused(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    with tenant(organisation):
        Connection.objects.update(state=Connection.State.REFUSED)
    tell(connection, the_deal(organisation).external_id)
    sandbox.forget_requests()
    assert not webhooks.drain(organisation.pk, connection.pk)
    assert sandbox.requests() == []
    with tenant(organisation):
        assert webhooks.due(organisation, sync.now()) == []
        Connection.objects.update(state=Connection.State.CONNECTED)
        assert webhooks.due(organisation, sync.now()) == [connection.pk]


def test_old_events_are_forgotten_after_fourteen_days(sandbox: Sandbox, organisation: Organisation) -> None:
    connection = connected(organisation, "hubspot")
    portal = connection.source.account_id
    post_hubspot([hubspot_event(portal, 7, eventId=number) for number in range(3)])
    now = sync.now()
    with tenant(organisation):
        for event, age in zip(WebhookEvent.objects.all(), (13.99, 14.01, 30), strict=True):
            WebhookEvent.objects.filter(pk=event.pk).update(received_at=now - timedelta(days=age))
    assert webhooks.forget_old(organisation, now) == 2
    assert len(kept(organisation)) == 1


# ---- Who is let in


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({}, 200),
        ({"age": 299}, 200),
        ({"age": 301}, 401),
        ({"age": -301}, 401),
        ({"secret": "another"}, 401),
        ({"secret": ""}, 401),
        ({"signature": ""}, 401),
        ({"signature": "é"}, 401),
        ({"timestamp": ""}, 401),
        ({"body": b"[]"}, 401),
        ({"path": HUBSPOT + "?x=1"}, 200),  # signed with what stands behind it
    ],
)
def test_only_what_hubspot_signed_just_now_is_taken(
    sandbox: Sandbox, organisation: Organisation, how: dict[str, Any], status: int
) -> None:
    portal = route_to(organisation, "hubspot")
    assert post_hubspot([hubspot_event(portal, 7)], **how).status_code == status
    assert len(kept(organisation)) == (1 if status == 200 else 0)


def route_to(organisation: Organisation, provider: str) -> str:
    """A connection whose run nobody carries on; the account's id."""
    with tenant(organisation):
        return sync.connect(organisation, provider, TOKENS[provider]).source.account_id


def test_an_unknown_portal_is_answered_quietly(sandbox: Sandbox, organisation: Organisation) -> None:
    portal = route_to(organisation, "hubspot")
    events = [hubspot_event("4711", 7), hubspot_event(portal, 8), hubspot_event("4712", 9)]
    assert post_hubspot(events).status_code == 200
    assert [event.ref for event in kept(organisation)] == ["8"]


def test_a_portal_that_two_organisations_watch_is_told_to_both(sandbox: Sandbox, organisation: Organisation) -> None:
    other = Organisation.objects.create(name="Other", time_zone="Europe/Paris")
    portal = route_to(organisation, "hubspot")
    assert route_to(other, "hubspot") == portal
    post_hubspot([hubspot_event(portal, 7)])
    assert [len(kept(one)) for one in (organisation, other)] == [1, 1]


@pytest.mark.parametrize(("size", "status"), [(999_999, 400), (1_000_000, 400), (1_000_001, 413), (3_000_000, 413)])
def test_more_than_a_megabyte_is_not_read(sandbox: Sandbox, organisation: Organisation, size: int, status: int) -> None:
    portal = route_to(organisation, "hubspot")
    assert post_hubspot(b"x" * size).status_code == status  # signed, but no JSON
    secret = routed(the_connection(organisation))
    assert post_pipedrive(secret.address, b"x" * size, password=secret.password).status_code == status
    assert portal
    assert kept(organisation) == []


def the_connection(organisation: Organisation) -> Connection:
    with tenant(organisation):
        return Connection.objects.select_related("source", "organisation").get()


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("vigie", None, 202),
        ("vigie", "another", 401),
        ("vigie", "", 401),
        ("Vigie", None, 401),
        ("", None, 401),
    ],
)
def test_pipedrive_must_know_the_password(
    sandbox: Sandbox, organisation: Organisation, user: str, password: str | None, status: int
) -> None:
    company = route_to(organisation, "pipedrive")
    secret = routed(the_connection(organisation))
    known = secret.password if password is None else password
    answer = post_pipedrive(secret.address, pipedrive_event(company, 7), user=user, password=known)
    assert answer.status_code == status
    assert len(kept(organisation)) == (1 if status == 202 else 0)


def test_neither_another_address_nor_another_company_nor_anothers_password_is_taken(
    sandbox: Sandbox, organisation: Organisation
) -> None:
    company = route_to(organisation, "pipedrive")
    mine = routed(the_connection(organisation))
    other = Organisation.objects.create(name="Other", time_zone="Europe/Paris")
    route_to(other, "pipedrive")
    theirs = routed(the_connection(other))
    event = pipedrive_event(company, 7)
    assert post_pipedrive("x" * 43, event, password=mine.password).status_code == 404
    assert post_pipedrive(mine.address, event, password=theirs.password).status_code == 401
    assert post_pipedrive(mine.address, pipedrive_event("4711", 7), password=mine.password).status_code == 403
    assert kept(organisation) == kept(other) == []
    assert post_pipedrive(mine.address, event, password=mine.password).status_code == 202
    assert (len(kept(organisation)), kept(other)) == (1, [])


@pytest.mark.parametrize("header", ["", "Basic", "Basic é", "Basic !!!!", "Bearer x", "Basic " + "A" * 10_000])
def test_a_senseless_authorization_is_refused(sandbox: Sandbox, organisation: Organisation, header: str) -> None:
    company = route_to(organisation, "pipedrive")
    secret = routed(the_connection(organisation))
    body = json.dumps(pipedrive_event(company, 7))
    path = f"/webhooks/pipedrive/{secret.address}/"
    answer = Client().post(path, body, content_type="application/json", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_disconnected_account_keeps_nothing(sandbox: Sandbox, organisation: Organisation) -> None:
    portal = route_to(organisation, "hubspot")
    with tenant(organisation):
        sync.disconnect(Connection.objects.get())
    assert post_hubspot([hubspot_event(portal, 7)]).status_code == 200
    assert kept(organisation) == []


def test_secrets_and_bodies_are_not_logged(
    sandbox: Sandbox, organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    from config.logs import WithoutTokens

    company = route_to(organisation, "pipedrive")
    secret = routed(the_connection(organisation))
    caplog.handler.addFilter(WithoutTokens())  # as the product's own handler has it
    with caplog.at_level(logging.DEBUG):
        post_pipedrive(secret.address, pipedrive_event(company, 7), password="wrong-password")
        post_pipedrive(secret.address, b"canary-in-the-body", password=secret.password)
        post_pipedrive(secret.address, pipedrive_event("4711", 7), password=secret.password)
        post_hubspot(b"canary-in-the-body")
        post_hubspot([hubspot_event("1", 7)], signature="canary-signature")
    assert "refused" in caplog.text
    for text in (secret.address, secret.password, "wrong-password", "canary", SECRET):
        assert text not in caplog.text


def test_the_stored_secret_opens_nothing_by_itself(sandbox: Sandbox, organisation: Organisation) -> None:
    route_to(organisation, "pipedrive")
    secret = routed(the_connection(organisation))
    with tenant(organisation):
        feed, route = WebhookFeed.objects.get(), WebhookRoute.objects.get()
    stored = " ".join([feed.secret, route.address, route.login])
    assert secret.address not in stored
    assert secret.password not in stored


def test_no_address_leads_to_a_connection_of_another_organisation(sandbox: Sandbox, organisation: Organisation) -> None:
    route_to(organisation, "pipedrive")
    routed(the_connection(organisation))
    other = Organisation.objects.create(name="Other", time_zone="Europe/Paris")
    with database.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError), transaction.atomic():
        WebhookRoute.objects.update(organisation=other)


@pytest.mark.parametrize("path", [HUBSPOT, "/webhooks/pipedrive/x/"])
def test_nothing_but_a_post_is_answered(db: None, path: str) -> None:
    for method in ("get", "put", "delete", "head"):
        assert getattr(Client(), method)(path).status_code == 405


def test_a_delivery_costs_few_statements_and_one_commit(transactional_db: None, sandbox: Sandbox) -> None:
    organisation = Organisation.objects.create(name="Test", time_zone="Europe/Paris")
    portal = route_to(organisation, "hubspot")
    events = [hubspot_event(portal, 7, eventId=number) for number in range(100)]
    counts = []
    for some in (events[:1], events[1:]):
        with CaptureQueriesContext(database) as queries:
            post_hubspot(some)
        counts.append(len(queries))
        assert sum(query["sql"].startswith("COMMIT") for query in queries.captured_queries) <= 1
    assert counts == [5, 5]
    assert len(kept(organisation)) == 100


# ---- Ringing


def test_a_ring_is_given_at_once_and_then_once_a_second() -> None:
    moments = iter([100.0, 100.1, 100.2, 100.99, 101.0, 101.5, 102.5, 102.6, 110.0])
    bell = Bell(lambda: next(moments))
    # At once; the next one a second later, for all who come before; the one given just now may have missed us.
    expected = [0, 0.9, None, None, 1, None, 0.5, None, 0]
    for wait in expected:
        assert bell.wait(1) == (wait if wait is None else pytest.approx(wait))


def test_connections_ring_for_themselves() -> None:
    bell = Bell(lambda: 5.0)
    assert [bell.wait(1), bell.wait(2)] == [0, 0]
