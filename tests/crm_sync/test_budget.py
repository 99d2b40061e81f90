"""What all workers together ask of a CRM: its limits, learnt from its answers, and the part of the day that is kept."""

import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import redis
from django.conf import settings

from crm_sync import budget, providers, sync
from crm_sync.budget import ConnectionBudget
from crm_sync.providers.base import RateLimited
from tests.sandbox import Sandbox

FRESH = count(1)


@pytest.fixture
def connection() -> int:
    """The id of a connection of which Valkey knows nothing."""
    number = next(FRESH)
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.delete(f"vigie:budget:0:{number}", f"vigie:budget:0:{number}:search")
    return number


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("sandbox"), deals=5) as running:
        yield running


def of(connection: int, provider: str = "pipedrive", urgent: bool = False) -> ConnectionBudget:
    return ConnectionBudget(provider, 0, connection, urgent)


def taken(one: ConnectionBudget, tries: int, search: bool = False) -> int:
    """How many of so many requests at one moment may go."""
    return sum(one.take(search=search) == 0 for _ in range(tries))


def test_a_new_connection_begins_with_the_least_that_any_account_has(connection: int) -> None:
    assert 1 <= taken(of(connection), 50) <= 20
    assert of(connection).take() > 0


@pytest.mark.parametrize(
    ("provider", "limit", "window", "headers"),
    [
        ("pipedrive", 50, 0.2, {"x-ratelimit-limit": "50"}),
        (
            "hubspot",
            30,
            0.3,
            {"x-hubspot-ratelimit-max": "30", "x-hubspot-ratelimit-interval-milliseconds": "300"},
        ),
    ],
)
def test_no_window_holds_more_than_the_crm_allows_however_many_ask(
    connection: int, provider: str, limit: int, window: float, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budget.LIMITS, provider, (limit, window * 1000))
    one = of(connection, provider)
    one.learn(headers)
    went: list[float] = []
    end = time.monotonic() + 4 * window

    def ask() -> None:
        while time.monotonic() < end:
            if wait := of(connection, provider).take():
                time.sleep(min(wait, 0.02))
            else:
                went.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    went.sort()
    assert len(went) >= limit  # and it is not the pace of one request after the other
    # The moments are those at which a thread noted the answer: the count is exact, the window is not.
    fullest = max(sum(start <= other < start + window * 0.9 for other in went) for start in went)
    assert fullest <= limit


def test_a_refusal_holds_every_worker_as_long_as_the_crm_says(connection: int) -> None:
    of(connection).hold(5)
    assert 4 < of(connection).take() <= 5
    of(connection).hold(1)  # a shorter one does not shorten it
    assert of(connection, urgent=True).take() > 4


def test_what_other_programs_have_spent_is_waited_for(connection: int) -> None:
    of(connection).learn({"x-ratelimit-limit": "100", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"})
    assert 1 < of(connection).take() <= 2


@pytest.mark.parametrize(
    ("left", "usual", "urgent"), [(1001, True, True), (1000, False, True), (1, False, True), (0, False, False)]
)
def test_the_last_tenth_of_a_day_is_kept_for_webhooks(connection: int, left: int, usual: bool, urgent: bool) -> None:
    of(connection).learn({"x-daily-ratelimit-token-limit": "10000", "x-daily-ratelimit-token-remaining": str(left)})
    for one, may in ((of(connection), usual), (of(connection, urgent=True), urgent)):
        if may:
            assert one.take() < 1
        else:
            with pytest.raises(RateLimited) as refused:
                one.take()
            assert refused.value.daily
            assert refused.value.code == ("daily_reserve" if left else "daily_limit")


def test_a_spent_day_is_believed_for_an_hour_and_forgotten_when_the_crm_answers(connection: int) -> None:
    of(connection).end_day()
    client = redis.Redis.from_url(settings.REDIS_URL)
    with pytest.raises(RateLimited):
        of(connection).take()
    client.hincrby(f"vigie:budget:0:{connection}", "said", -budget.DAY_KNOWN + 10_000)
    with pytest.raises(RateLimited):
        of(connection).take()
    client.hincrby(f"vigie:budget:0:{connection}", "said", -10_000)
    assert of(connection).take() == 0
    of(connection).learn({"x-ratelimit-limit": "100"})  # an answer that says nothing of the day
    time.sleep(0.1)
    assert of(connection).take() == 0


def test_hubspots_search_has_a_limit_of_its_own(connection: int) -> None:
    one = of(connection, "hubspot")
    assert taken(one, 20, search=True) == 1
    assert taken(one, 3) >= 1


def test_one_connection_does_not_wait_for_another(connection: int) -> None:
    of(connection).hold(60)
    of(connection).end_day()
    assert of(next(FRESH)).take() == 0


def test_without_valkey_requests_go_on(connection: int, settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    assert taken(of(connection), 5) == 5
    of(connection).learn({"x-ratelimit-limit": "100"})
    of(connection).hold(9)


def test_an_emptied_valkey_begins_anew(connection: int) -> None:
    of(connection).hold(60)
    redis.Redis.from_url(settings.REDIS_URL).delete(f"vigie:budget:0:{connection}")
    assert of(connection).take() == 0


@pytest.mark.parametrize("crm", ["pipedrive", "hubspot"])
def test_the_crm_never_has_to_refuse(small: Sandbox, connection: int, crm: str, tmp_path: Path) -> None:
    """Four workers at once, at limits that a single one would break."""
    small.limits(crm, requests=20, seconds=1, daily=1_000_000, spent=0)
    url = f"{small.url}/{crm}"
    before = small.limits(crm)["refused"]

    def ask() -> None:
        provider = providers.connect(crm, f"sandbox-{crm}-token", api_url=url, budget=of(connection, crm))
        for _ in range(8):
            provider.read("pipelines", None, None, sync.now())

    one = of(connection, crm)
    one.learn({"x-ratelimit-limit": "20", "x-hubspot-ratelimit-interval-milliseconds": "1000"})
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert small.limits(crm)["refused"] == before
    assert small.limits(crm)["spent"] >= 32


@pytest.mark.parametrize("crm", ["pipedrive", "hubspot"])
def test_nothing_is_asked_after_the_day_has_ended(small: Sandbox, connection: int, crm: str) -> None:
    small.limits(crm, requests=1000, seconds=1, daily=100_000, spent=100_000)
    url = f"{small.url}/{crm}"
    provider = providers.connect(crm, f"sandbox-{crm}-token", api_url=url, budget=of(connection, crm, urgent=True))
    spent = []
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            provider.read("pipelines", None, None, sync.now())
        assert refused.value.daily
        spent.append(small.limits(crm)["spent"])
    assert spent[0] == spent[-1]  # one request found out


@pytest.mark.parametrize(
    ("refusal", "least"),
    [({"status": "html403"}, 299), ({"status": 429, "retry_after": 40}, 39)],
    ids=["gateway", "429"],
)
def test_when_one_worker_is_refused_all_wait(
    small: Sandbox, connection: int, refusal: dict[str, object], least: float
) -> None:
    small.limits("pipedrive", requests=1000, daily=1_000_000, spent=0)
    small.fail("pipedrive", **refusal)
    url = f"{small.url}/pipedrive"
    provider = providers.connect("pipedrive", "sandbox-pipedrive-token", api_url=url, budget=of(connection))
    with pytest.raises(RateLimited):
        provider.read("pipelines", None, None, sync.now())
    assert of(connection, urgent=True).take() > least
