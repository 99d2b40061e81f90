"""Runs several processes side by side and ends them together."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType

STOP_SECONDS = 10


class Stop(BaseException):
    """Somebody pressed Ctrl-C, or sent SIGTERM or SIGHUP."""


class Supervisor:
    """On leaving the context, each leader gets SIGTERM and ends its own children; after ten seconds, its group SIGKILL.

    Signals go to the leaders only: a signal to whole groups would also kill the tasks that a worker wants to finish.
    Every process has a session of its own, so Ctrl-C reaches this one alone, and a log file `<name>.log` in `logs`.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        with open(self.log(name), "wb") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def has_ended(self, name: str) -> bool:
        return self.processes[name].poll() is not None

    def wait_for_an_end(self) -> tuple[str, int]:
        """The name and exit code of the first process that ends; it is supervised no more."""
        while True:
            for name, process in self.processes.items():
                if (code := process.poll()) is not None:
                    del self.processes[name]
                    return name, code
            time.sleep(0.2)

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def stop_on_signals() -> None:
    """Turn the first signal that asks for an end into Stop, which unwinds every context; further ones are ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        for later in signals:
            signal.signal(later, lambda *_: None)
        raise Stop

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        signal.signal(number, stop)
