"""Kombu's transport for Redis, with the one thing mended that ends a worker when Valkey goes away.

A task that was taken before the connection broke is acknowledged, or given back, over a channel that is closed. Kombu
(5.7, see celery/kombu#582) then asks None for the address, an AttributeError that nobody expects: the worker ends, or
lives on without working. As an error of the connection it is logged, and the worker goes on over its new connection;
what was not acknowledged is done again, which is harmless.
"""

from typing import Any

from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as Disconnected


class Channel(kombu_redis.Channel):
    def _connparams(self, *args: Any, **options: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise Disconnected("the channel is closed")
        return super()._connparams(*args, **options)  # type: ignore[misc]  # unknown to its stubs


class Transport(kombu_redis.Transport):
    Channel = Channel
