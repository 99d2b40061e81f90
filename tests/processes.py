"""Web server and worker as processes of their own, on the test's database and broker."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import requests
from django.conf import settings
from django.db import connection

Found = TypeVar("Found")


class Process:
    def __init__(self, folder: Path, *command: str) -> None:
        self.log, self.command = folder / f"{command[0]}.log", command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database = connection.settings_dict
        url = os.environ["DATABASE_URL"].rsplit("/", 1)
        environ = {
            **os.environ,
            "DATABASE_URL": f"{url[0]}/{database['NAME']}" + ("?" + url[1].split("?", 1)[1] if "?" in url[1] else ""),
            "PIPEDRIVE_API_URL": settings.PIPEDRIVE_API_URL,
            "HUBSPOT_API_URL": settings.HUBSPOT_API_URL,
        }
        environ.pop("DATABASE_OWNER_URL", None)
        command = [sys.executable, "-m", *self.command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """SIGKILL to the process and its children, as a machine that loses power would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(60)
        with suppress(ProcessLookupError):  # a child that outlived its parent would keep the test database busy
            os.killpg(self.process.pid, signal.SIGKILL)

    @contextmanager
    def running(self) -> Iterator["Process"]:
        self.start()
        try:
            yield self
        finally:
            self.stop()


def worker(folder: Path) -> Process:
    return Process(folder, "celery", "-A", "config.celery", "worker", "-c", "2", "-l", "INFO")


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Gunicorn as in production; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Process(folder, "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}").running():
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(f"{url}/healthz"), 30)
        yield url


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def wait_for(what: Callable[[], Found], seconds: float = 60) -> Found:
    """The first true answer of `what`, asked ten times a second; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")
