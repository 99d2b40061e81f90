"""A Celery worker as a process of its own, on the test's database and broker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import connection

Found = TypeVar("Found")


class Worker:
    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder, self.environ = folder, environ
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database = connection.settings_dict
        url = os.environ["DATABASE_URL"].rsplit("/", 1)
        environ = {
            **os.environ,
            "DATABASE_URL": f"{url[0]}/{database['NAME']}" + ("?" + url[1].split("?", 1)[1] if "?" in url[1] else ""),
            "PIPEDRIVE_API_URL": settings.PIPEDRIVE_API_URL,
            "HUBSPOT_API_URL": settings.HUBSPOT_API_URL,
            **self.environ,
        }
        environ.pop("DATABASE_OWNER_URL", None)
        command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-c", "2", "-l", "INFO"]
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """SIGKILL to the worker and its children, as a machine that loses power would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(60)

    @classmethod
    @contextmanager
    def run(cls, folder: Path, **environ: str) -> Iterator["Worker"]:
        worker = cls(folder, **environ)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()


def wait_for(what: Callable[[], Found], seconds: float = 60) -> Found:
    """The first true answer of `what`, asked ten times a second; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")
