"""How often a CRM may be asked: one budget for each connection, shared by all workers through Valkey.

Nothing in it is the only copy of anything: an empty Valkey begins anew with the CRM's published limits and learns the
account's own from the next answer. Without Valkey requests go on, and the CRM's 429 is what is left to obey.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import redis
from django.conf import settings

from crm_sync.providers.base import RateLimited
from crm_sync.providers.http import number_in

logger = logging.getLogger(__name__)

# (requests, milliseconds) until an answer says otherwise: the least that any account has (CRM.md A6, B6).
LIMITS = {"pipedrive": (20, 2_000), "hubspot": (100, 10_000)}
SEARCH = {"pipedrive": (10, 2_000), "hubspot": (5, 1_000)}  # no header tells it, so it is never learnt
# A window of the CRM's then holds at most BURST + PACE of what it allows; the rest is for the account's other programs.
BURST, PACE = 0.1, 0.8
RESERVE = 0.1  # of the day's budget: kept for what webhooks say has changed
PATIENT = 0.5  # likewise, of what can wait (crm_sync.details): kept for the regular reading and the webhooks
DAY_KNOWN = 3_600_000  # milliseconds for which it is believed that a day's budget is spent: when it resets is not told

# The generic cell rate algorithm. `due`: when the bucket is full again; `held`: until when the CRM is to be left alone.
# The answer is how many milliseconds to wait first; -1: nothing is left of the day, -2: only what webhooks may spend.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local have = redis.call('HMGET', KEYS[1], 'held', 'limit', 'window', 'due', 'left', 'daily', 'said')
if tonumber(have[1] or 0) > now then return have[1] - now end
if have[5] and now - have[7] < tonumber(ARGV[3]) and have[5] + 0 <= have[6] * ARGV[4] then
    return have[5] + 0 > 0 and -2 or -1
end
local limit, window = tonumber(have[2] or ARGV[1]), tonumber(have[3] or ARGV[2])
local step = window / (limit * ARGV[5])
local due = math.max(now, tonumber(have[4] or 0))
local early = due - now - math.max(0, limit * ARGV[6] - 1) * step
if early > 0 then return math.ceil(early) end
redis.call('HSET', KEYS[1], 'due', string.format('%.3f', due + step))
redis.call('EXPIRE', KEYS[1], 86400)
return 0
"""
LEARN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for n = 1, #ARGV, 2 do
    local name, value = ARGV[n], ARGV[n + 1]
    if name == 'hold' then
        name, value = 'held', math.max(now + value, tonumber(redis.call('HGET', KEYS[1], 'held') or 0))
    elseif name == 'left' then redis.call('HSET', KEYS[1], 'said', now) end
    redis.call('HSET', KEYS[1], name, value)
end
redis.call('EXPIRE', KEYS[1], 86400)
"""


@lru_cache(maxsize=1)
def _valkey(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


@dataclass(frozen=True)
class ConnectionBudget:
    """What one connection may still ask. `urgent`: for a webhook, which may spend the day's reserve, too. `patient`:
    for what can wait, and leaves half of the day to others."""

    provider: str
    organisation: int
    connection: int
    urgent: bool = False
    patient: bool = False

    @property
    def _key(self) -> str:
        return f"vigie:budget:{self.organisation}:{self.connection}"

    def take(self, *, search: bool = False) -> float:
        """Seconds to wait before asking again whether one request may go; 0: it may, and is counted.

        RateLimited (daily) when nothing is left of the day's budget, or what is left is kept (`reserved`).
        """
        buckets = [(self._key, LIMITS)]
        if search:
            buckets.insert(0, (f"{self._key}:search", SEARCH))
        reserve = 0 if self.urgent else PATIENT if self.patient else RESERVE
        for key, limits in buckets:
            wait = self._run(TAKE, key, *limits[self.provider], DAY_KNOWN, reserve, PACE, BURST)
            if wait < 0:
                raise RateLimited("nothing is left of the day's budget", daily=True, reserved=wait == -2)
            if wait:
                return wait / 1000
        return 0

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer says of the account's limits and of what is left of them."""
        found: dict[str, float] = {}
        limit = number_in(headers, "x-ratelimit-limit", "x-hubspot-ratelimit-max")
        window = number_in(headers, "x-hubspot-ratelimit-interval-milliseconds") or LIMITS[self.provider][1]
        if limit:
            found |= {"limit": limit, "window": window}
        left = number_in(headers, "x-daily-ratelimit-token-remaining", "x-hubspot-ratelimit-daily-remaining")
        daily = number_in(headers, "x-daily-ratelimit-token-limit", "x-hubspot-ratelimit-daily")
        if left is not None and daily:
            found |= {"left": left, "daily": daily}
        if number_in(headers, "x-ratelimit-remaining", "x-hubspot-ratelimit-remaining") == 0:
            # Perhaps other programs of the account have spent it: nobody asks until the window is over.
            found["hold"] = 1000 * (number_in(headers, "x-ratelimit-reset") or 0) or window
        if found:
            self._run(LEARN, self._key, *(part for pair in found.items() for part in pair))

    def hold(self, seconds: float) -> None:
        """The CRM wants to be left alone: all workers wait."""
        self._run(LEARN, self._key, "hold", math.ceil(seconds * 1000))

    def end_day(self) -> None:
        """The CRM says that the day's budget is spent."""
        self._run(LEARN, self._key, "left", 0, "daily", 1)

    def _run(self, script: str, key: str, *given: float | str) -> int:
        try:
            return int(_valkey(settings.REDIS_URL).eval(script, 1, key, *given) or 0)
        except redis.RedisError as error:
            logger.warning("no budget for connection %s: %s", self.connection, type(error).__name__)
            return 0
