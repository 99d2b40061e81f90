"""Webhooks are hints (docs/adr/0017): taken in with one commit, then worked off by reading the objects again.

What came in lies in Postgres; the ring to the worker may be lost. Whoever works it off claims a batch, which is also
the promise of another try later, asks the CRM outside any transaction, and writes the rows, the marks for evaluation
and the end of the events in one.
"""

import hashlib
import hmac
import logging
import secrets
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.urls import reverse

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import queue
from alerts.parking import BAD_DATA
from crm_sync import locks, providers, routes, sync, vault
from crm_sync.models import Connection, WebhookEvent, WebhookFeed, WebhookRoute
from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import CrmError, MissingPermission, Page, Provider, RateLimited, UnexpectedAnswer
from crm_sync.webhook_events import Event
from deals import removal
from deals.clock import Clock
from deals.models import Source
from deals.records import Kept, MergeRecord
from deals.upsert import upsert

logger = logging.getLogger(__name__)

BATCH = 500  # events claimed at once
TOGETHER = 100  # objects written in one transaction: those of one request
ATTEMPTS = 5
LEASE = 30  # seconds after which what a worker died with is taken again; while it lives, it alone has the conversation
RETRY = (LEASE, 60, 120, 300, 600)  # seconds until the next attempt; the same after the CRM's first, second, … failure
PATIENCE = 5  # seconds to wait for another conversation with the CRM
KEEP = timedelta(days=14)
CHECK_EVERY = timedelta(hours=1)
RING_EVERY = 1.0  # seconds, per process and connection: what comes between two rings is worked off together
USER = "vigie"


# ---- Taking in


def of_hubspot(found: dict[str, list[Event]]) -> None:
    """Keep the events of each portal for every organisation that watches it, in one commit; then ring."""
    shares = [
        (organisation, events, "hubspot", portal)
        for portal, events in sorted(found.items())
        for organisation in routes.organisations_of("hubspot", portal)
    ]
    with transaction.atomic() if len(shares) > 1 else nullcontext():  # one alone has its own
        kept = [(share[0], pk) for share in shares for pk in _store(*share)]
    for organisation, pk in kept:
        ring(organisation, pk)


def of_pipedrive(route: WebhookRoute, events: list[Event]) -> None:
    for pk in _store(route.organisation_id, events, "pipedrive", route.account_id, route.connection_id):
        ring(route.organisation_id, pk)


def route_of(address: str) -> WebhookRoute | None:
    return WebhookRoute.objects.filter(address=_digest(address)).first()


def opens(route: WebhookRoute, authorization: str) -> bool:
    """Whether an Authorization header carries the route's user and password (HTTP Basic)."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        login = b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        login = ""
    return hmac.compare_digest(_digest(login), route.login)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _store(
    organisation: int, events: Iterable[Event], provider: str, account: str, connection: int | None = None
) -> set[int]:
    """The connections for which something new was kept. One statement; an event that is known changes nothing."""
    rows = sorted({event.key: event for event in events}.values(), key=lambda event: event.key)
    if not rows:
        return set()
    with tenant(organisation), database.cursor() as cursor:
        # In the order of the keys, so that two deliveries never wait for each other.
        cursor.execute(
            """
            INSERT INTO crm_sync_webhookevent (organisation_id, connection_id, key, stream, ref, action, "into",
                                               occurred_at, received_at, attempts, problem)
            SELECT c.organisation_id, c.id, e.*, %(now)s, 0, ''
            FROM crm_sync_connection c
            JOIN deals_source s ON s.organisation_id = c.organisation_id AND s.id = c.source_id
            CROSS JOIN unnest(%(keys)s, %(streams)s, %(refs)s, %(actions)s, %(intos)s, %(moments)s::timestamptz[]) e
            WHERE c.organisation_id = %(org)s AND c.provider = %(provider)s AND s.account_id = %(account)s
                  AND (%(connection)s::bigint IS NULL OR c.id = %(connection)s) AND c.state <> ALL(%(ended)s)
            ON CONFLICT (organisation_id, connection_id, key) DO NOTHING RETURNING connection_id
            """,
            {
                "org": organisation,
                "provider": provider,
                "account": account,
                "connection": connection,
                "ended": [Connection.State.DISCONNECTED, Connection.State.UNINSTALLED, Connection.State.DELETING],
                "now": sync.now(),
                "keys": [event.key for event in rows],
                "streams": [event.stream for event in rows],
                "refs": [event.ref for event in rows],
                "actions": [event.action for event in rows],
                "intos": [event.into for event in rows],
                "moments": [event.occurred_at for event in rows],
            },
        )
        return {row[0] for row in cursor.fetchall()}


class Bell:
    """Rings for a connection at once, then at most every RING_EVERY seconds; one that is to come serves everybody."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._rings_at: dict[int, float] = {}  # the latest ring of each connection, past or to come

    def wait(self, connection: int) -> float | None:
        """Seconds until the ring that whoever asks has to give; None when it need not give one."""
        with self._lock:
            now = self._clock()
            latest = self._rings_at.get(connection, now - RING_EVERY)
            if latest > now:
                return None
            at = self._rings_at[connection] = max(now, latest + RING_EVERY)
            return at - now


_bell = Bell()


def ring(organisation: int, connection: int) -> None:
    """Call a worker. Not before the events are committed; a ring that is lost is made good by the sweep."""
    from crm_sync.webhook_tasks import drain

    wait = _bell.wait(connection)
    if wait is None:
        return
    try:
        drain.apply_async((organisation, connection), countdown=wait, retry=False)
    except Exception as error:  # the events are kept: the CRM must not be told that they are not
        logger.warning("ring for connection %s lost: %s", connection, type(error).__name__)


# ---- Working off


def waiting(organisation: Organisation | int, now: datetime) -> QuerySet[WebhookEvent]:
    """Events that a worker may take now."""
    mine = WebhookEvent.objects.filter(organisation=organisation, done_at=None, attempts__lt=ATTEMPTS)
    return mine.filter(Q(retry_at=None) | Q(retry_at__lte=now))


def parked(connection: Connection) -> QuerySet[WebhookEvent]:
    """Events that failed too often, for which nothing is tried any more; the regular reading covers them."""
    return WebhookEvent.objects.filter(connection=connection, done_at=None, attempts__gte=ATTEMPTS)


def due(organisation: Organisation, now: datetime) -> list[int]:
    """Connections with something to work off."""
    resting = WebhookFeed.objects.filter(organisation=organisation, retry_at__gt=now).values("connection")
    mine = waiting(organisation, now).exclude(connection__in=resting)
    found = mine.filter(connection__state=Connection.State.CONNECTED).values_list("connection", flat=True)
    return list(found.order_by("connection").distinct())


def drain(organisation_id: int, connection_id: int) -> bool:
    """Work off one batch of a connection's events; whether there may be more. False also while the CRM is failing."""
    with locks.conversation(connection_id, PATIENCE) as alone:
        if not alone:  # somebody else waits, or a page takes long: the sweep comes again
            return False
        with tenant(organisation_id):
            connection = _workable(organisation_id, connection_id)
            events = _claim(connection) if connection else []
        if connection is None or not events:
            return False
        untried = {event.pk for event in events}
        try:
            provider = sync.provider_of(connection, urgent=True)
            for stream, part in _parts(connection.provider, events):
                _work_off(connection, provider, stream, part)
                untried -= {event.pk for event in part}
        except (CrmError, vault.Unreadable) as error:
            _give_back(connection, untried, error)
            return False
        with tenant(organisation_id):
            failing = WebhookFeed.objects.filter(connection=connection).exclude(failures=0, problem="")
            failing.update(failures=0, problem="", retry_at=None)
    return len(events) == BATCH


def _workable(organisation: int, pk: int) -> Connection | None:
    resting = WebhookFeed.objects.filter(organisation=organisation, connection=pk, retry_at__gt=sync.now())
    mine = Connection.objects.filter(organisation=organisation, pk=pk, state=Connection.State.CONNECTED)
    return mine.select_related("source", "organisation").exclude(feeds__in=resting).first()


def _claim(connection: Connection) -> list[WebhookEvent]:
    """Take the oldest events, so that no other worker does until the lease is over: this one may die as well."""
    now = sync.now()
    mine = waiting(connection.organisation_id, now).filter(connection=connection).order_by("pk")
    events = list(mine.select_for_update(skip_locked=True, of=("self",))[:BATCH])
    for event in events:
        event.attempts += 1
        event.retry_at = now + timedelta(seconds=RETRY[event.attempts - 1])
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_sync_webhookevent e SET attempts = e.attempts + 1, retry_at = d.retry_at "
            "FROM unnest(%s::bigint[], %s::timestamptz[]) d(id, retry_at) "
            "WHERE e.organisation_id = %s AND e.id = d.id",
            [[e.pk for e in events], [e.retry_at for e in events], connection.organisation_id],
        )
    return events


def _parts(provider: str, events: Sequence[WebhookEvent]) -> Iterable[tuple[str, list[WebhookEvent]]]:
    """Events that are asked and written together, in the order of the first sync: the same object once, many objects
    in one request; alone what has failed before, so that it holds nobody else up."""
    by_object: dict[tuple[str, str], list[WebhookEvent]] = {}
    for event in events:
        by_object.setdefault((event.stream, event.ref), []).append(event)
    for stream in PROVIDERS[provider].streams:
        mine = [part for (name, _), part in by_object.items() if name == stream]
        fresh = [part for part in mine if all(event.attempts == 1 for event in part)]
        for start in range(0, len(fresh), TOGETHER):
            yield stream, [event for part in fresh[start : start + TOGETHER] for event in part]
        for part in mine:
            if any(event.attempts > 1 for event in part):
                yield stream, part


def _work_off(connection: Connection, provider: Provider, stream: str, events: Sequence[WebhookEvent]) -> None:
    """Raises what keeps the CRM from answering anything; what is wrong with these events is kept with them."""
    try:
        # Of a merge the survivor, too: what the losers had becomes its own.
        page = provider.fetch(stream, list(dict.fromkeys(filter(None, (x for e in events for x in (e.ref, e.into))))))
        with tenant(connection.organisation_id):
            _write(connection, provider.compared[stream], page, events)
    except MissingPermission as error:  # the regular reading tells it, and reads the stream when it may
        _end(connection, events, error.code)
    except (UnexpectedAnswer, ValueError, *BAD_DATA) as error:
        _fail(connection, events, error)


def _write(connection: Connection, kind: Kept, page: Page, events: Sequence[WebhookEvent]) -> None:
    organisation = connection.organisation
    source = Source.objects.get(organisation=organisation, pk=connection.source_id)
    merges = [MergeRecord(kind, event.into, (event.ref,)) for event in events if event.into and kind != "activities"]  # type: ignore[arg-type]
    # An empty answer deletes nothing: only what was also told to be gone is. Of a change to something that the CRM does
    # not know (yet) it is asked once more; then the regular reading has to find it.
    told = {event.ref for event in events if event.action != "change"}
    gone = [ref for ref in page.gone if ref in told]
    odd = {event.pk for event in events if event.ref in {*page.gone} - told and event.attempts == 1}
    batch = replace(page.batch, gone={kind: gone}, merges=merges)
    removal.revive(source, batch)  # nothing is newer than what the CRM answered just now
    touched = upsert(source, batch, Clock.of(organisation))
    if source.first_synced_at:  # before, an alert would only say what has not been read yet
        queue.mark(organisation, touched)
    done = [event.pk for event in events if event.pk not in odd]
    WebhookEvent.objects.filter(pk__in=done).update(done_at=sync.now(), problem="")


def _end(connection: Connection, events: Sequence[WebhookEvent], problem: str) -> None:
    with tenant(connection.organisation_id):
        mine = WebhookEvent.objects.filter(pk__in=[event.pk for event in events])
        mine.update(done_at=sync.now(), problem=problem)


def _fail(connection: Connection, events: Sequence[WebhookEvent], error: Exception) -> None:
    """They are tried again, each object alone; after ATTEMPTS times nobody does any more, and it is told."""
    problem = getattr(error, "code", "unreadable")
    logger.warning("webhooks of connection %s: %s", connection.pk, problem)
    with tenant(connection.organisation_id):
        WebhookEvent.objects.filter(pk__in=[event.pk for event in events]).update(problem=problem)
    for event in events:
        if event.attempts >= ATTEMPTS:
            logger.error("webhook of connection %s parked: %s %s", connection.pk, event.stream, event.ref)


def _give_back(connection: Connection, untried: Iterable[int], error: Exception) -> None:
    """The CRM's trouble, not the events': their attempt does not count, and all wait until the CRM may be asked."""
    problem = getattr(error, "code", "token_unreadable")
    logger.warning("webhooks of connection %s wait: %s", connection.pk, problem)
    with tenant(connection.organisation_id):
        feed, _ = WebhookFeed.objects.get_or_create(organisation=connection.organisation, connection=connection)
        wait = float(RETRY[min(feed.failures, len(RETRY) - 1)])
        if isinstance(error, RateLimited):
            wait = 3600 if error.daily else max(wait, error.retry_after or 0)
        feed.failures, feed.problem = feed.failures + 1, problem
        feed.retry_at = sync.now() + timedelta(seconds=wait)
        feed.save(update_fields=["failures", "problem", "retry_at"])
        mine = WebhookEvent.objects.filter(organisation=connection.organisation, pk__in=untried)
        mine.update(attempts=F("attempts") - 1, retry_at=None)


def forget_old(organisation: Organisation, now: datetime) -> int:
    """Remove what came in more than KEEP ago, a part; returns how many."""
    with tenant(organisation), database.cursor() as cursor:
        cursor.execute(
            "DELETE FROM crm_sync_webhookevent WHERE organisation_id = %(org)s AND id IN (SELECT id FROM "
            "crm_sync_webhookevent WHERE organisation_id = %(org)s AND received_at < %(old)s LIMIT 10000)",
            {"org": organisation.pk, "old": now - KEEP},
        )
        return int(cursor.rowcount)


# ---- Registering


@dataclass(frozen=True, slots=True)
class Secret:
    """What opens a connection's address: 256 random bits in the address, 256 in the password."""

    address: str
    password: str

    @classmethod
    def new(cls) -> "Secret":
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32))

    @property
    def url(self) -> str:
        site: str = settings.SITE_URL
        return site + reverse("crm_sync:webhook_pipedrive", args=[self.address])


def unchecked(organisation: Organisation, now: datetime) -> list[int]:
    """Connections whose webhooks nobody has looked at for CHECK_EVERY; a new one at once, when it knows its account."""
    recent = WebhookFeed.objects.filter(organisation=organisation, checked_at__gt=now - CHECK_EVERY)
    recent = recent.filter(checked_at__gte=F("connection__connected_at"))  # the login may be another one since
    mine = Connection.objects.filter(organisation=organisation, state=Connection.State.CONNECTED)
    mine = mine.exclude(source__account_id="").exclude(pk__in=recent.values("connection"))
    return list(mine.order_by("pk").values_list("pk", flat=True))


def register(organisation_id: int, connection_id: int) -> None:
    """See to it that the CRM tells this connection's changes, as far as it can; a gap is followed by a catch-up."""
    with tenant(organisation_id):
        connection = _workable(organisation_id, connection_id)
        if connection is None:
            return
        feed, _ = WebhookFeed.objects.get_or_create(organisation=connection.organisation, connection=connection)
    found = _register(connection, feed)
    if found is None:  # the next sweep asks again
        return
    polled, repaired = found
    with tenant(organisation_id):
        had = WebhookFeed.objects.filter(pk=feed.pk, polled="").exists()
        WebhookFeed.objects.filter(pk=feed.pk).update(polled=polled, checked_at=sync.now())
        if repaired and had:  # what happened meanwhile was told to nobody
            logger.warning("webhooks of connection %s were missing and are registered anew", connection_id)
            sync.start(connection)


def _register(connection: Connection, feed: WebhookFeed) -> tuple[str, bool] | None:
    """Why the connection is polled ("" when it is told), and whether something had been missing; None: the CRM could
    not be asked."""
    Polled = WebhookFeed.Polled
    if not is_reachable(connection.provider):
        return Polled.ADDRESS, False
    if connection.provider == "hubspot":  # the app's own subscriptions serve every account that installed it
        told = connection.method == Connection.Method.OAUTH and settings.HUBSPOT_CLIENT_SECRET
        return "" if told else Polled.TOKEN, False
    try:
        secret = _secret_of(connection, feed)
        return "", sync.provider_of(connection).keep_webhooks(secret.url, USER, secret.password)
    except MissingPermission:
        return Polled.PERMISSION, False
    except UnexpectedAnswer as error:
        return (Polled.REFUSED, False) if (error.status or 0) >= 400 else None
    except (CrmError, vault.Unreadable):
        return None


def _secret_of(connection: Connection, feed: WebhookFeed) -> Secret:
    """Kept so that missing webhooks can be made again with the same address. Raises vault.Unreadable."""
    place = (connection.organisation_id, connection.source_id)
    if feed.secret:
        return Secret(*vault.unseal(feed.secret, *place).split(":"))
    secret = Secret.new()
    with tenant(connection.organisation_id):
        WebhookFeed.objects.filter(pk=feed.pk).update(secret=vault.seal(f"{secret.address}:{secret.password}", *place))
        WebhookRoute.objects.update_or_create(
            organisation=connection.organisation,
            connection=connection,
            defaults={
                "account_id": connection.source.account_id,
                "address": _digest(secret.address),
                "login": _digest(f"{USER}:{secret.password}"),
            },
        )
    return secret


def leave(connection: Connection) -> None:
    """Before the connection's login is forgotten: close its address, and have the worker take our webhooks away from
    the CRM, as well as it goes. The CRM itself gives up addresses where nobody answers."""
    from crm_sync.webhook_tasks import unregister

    feed = WebhookFeed.objects.filter(connection=connection).exclude(secret="").first()
    if feed is None:
        return
    place = (connection.organisation_id, connection.source_id)
    by_oauth = connection.method == Connection.Method.OAUTH
    login = (connection.provider, *place, connection.token, by_oauth, connection.api_url)
    if connection.token:
        transaction.on_commit(lambda: unregister.delay(*login, feed.secret), robust=True)
    WebhookRoute.objects.filter(organisation=connection.organisation_id, connection=connection).delete()
    mine = WebhookFeed.objects.filter(pk=feed.pk)
    mine.update(secret="", polled=WebhookFeed.Polled.UNCHECKED, checked_at=None, failures=0, problem="", retry_at=None)


def unregister(
    provider: str, organisation: int, source: int, token: str, by_oauth: bool, api_url: str, secret: str
) -> None:
    """`token` and `secret` as they were stored. Raises CrmError, vault.Unreadable."""
    opened = vault.unseal(token, organisation, source)
    address, password = vault.unseal(secret, organisation, source).split(":")
    crm = providers.connect(provider, opened, oauth=by_oauth, api_url=api_url)
    crm.drop_webhooks(Secret(address, password).url)


def is_reachable(provider: str) -> bool:
    """Whether the CRM can reach this server: a public https address, or both are on this machine (the sandbox)."""
    crm: str = getattr(settings, f"{provider.upper()}_API_URL")
    site = urlsplit(settings.SITE_URL)
    if _is_here(urlsplit(crm).hostname or ""):
        return _is_here(site.hostname or "")
    return site.scheme == "https" and _is_public(site.hostname or "")


def _is_here(host: str) -> bool:
    return host == "localhost" or (_address(host) is not None and _address(host).is_loopback)


def _is_public(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return bool(address.is_global)
    return "." in host and not host.endswith((".localhost", ".local", ".internal", ".test", ".example"))


def _address(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None
