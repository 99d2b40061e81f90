"""What a worker still holds when Valkey goes away must not end it."""

import pytest
from kombu.transport.redis import Transport as Kombus

from config.broker import Transport
from config.celery import app


def test_a_closed_channel_is_a_lost_connection_and_no_unexpected_error() -> None:
    with app.connection_for_write() as connection:
        assert isinstance(connection.transport, Transport)
        assert issubclass(Transport, Kombus)
        channel = connection.channel()
        channel.close()
        channel.connection = None  # as after the connection was given up
        with pytest.raises(connection.connection_errors, match="closed"):
            channel.qos.ack("of a task that was taken before")
