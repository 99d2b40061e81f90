"""Rounds in which a process is killed during a first synchronisation and again during a storm of webhooks, while the
CRM has a fault of its own; afterwards the oracle (tests.judgement) has to hold within PATIENCE seconds."""

import argparse
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, Protocol

from django.core.management import call_command
from django.db import Error, connection

from accounts.models import Organisation
from accounts.tenancy import tenant
from alerts import tasks as evaluations
from config import embedded
from crm_sync import reconcile, sync, tasks, webhook_tasks
from crm_sync.models import Connection, StreamProgress, SyncRun
from tests.faults.storm import Storm
from tests.judgement import TOKENS, Report, judge
from tests.processes import Process, _answers, worker
from tests.sandbox import Sandbox

PATIENCE = 120  # seconds: docs/reliability.md
DOWN = (0.3, 2.5)  # seconds for which what was killed is away
# What is wrong with the CRM's answers meanwhile: that share of them fails, until so many have. Not among them is the
# gateway's page (html403): after it the CRM is left alone for five minutes.
FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "429": {"status": 429, "share": 0.1, "count": 8},
    "500": {"status": 500, "share": 0.2, "count": 20},
    "down": {"status": "down", "share": 0.2, "count": 20},
    "cut": {"status": "cut", "share": 0.2, "count": 20},
    "truncated": {"status": "truncated", "share": 0.15, "count": 3},
    "empty": {"status": "empty", "share": 0.3, "count": 2, "path": "deals"},
    "slow": {"status": "slow", "share": 0.2, "count": 20, "seconds": 1.0},
    "late": {"late": 20.0},
}
SKEWS = (-120.0, 0.0, 120.0)  # seconds by which a CRM's clock is wrong, all the time
# Real seconds for one of the CRM's own: how soon it tells again what was not acknowledged.
PACE = {"hubspot": 0.0002, "pipedrive": 0.1}


class Victim(Protocol):
    def kill(self) -> None: ...
    def start(self) -> None: ...


class Service:
    """PostgreSQL or Valkey of a folder, whoever started it: killed, and started again at the same port."""

    def __init__(self, server: embedded.Postgres | embedded.Valkey) -> None:
        self.server = server

    def kill(self) -> None:
        pid = self.server.pid()
        assert pid is not None
        os.environ[self.server.port_variable] = str(self.server.port)
        os.kill(pid, signal.SIGKILL)
        assert embedded.wait(lambda: self.server.pid() is None, 10)

    def start(self) -> None:
        """The children of a dead PostgreSQL need a moment to leave."""
        end = time.monotonic() + 30
        while True:
            try:
                return self.server.start()
            except embedded.EmbeddedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)


@dataclass
class Round:
    number: int
    crm: str
    victim: str
    faults: tuple[str, str]  # during the first synchronisation, and during the storm
    seconds: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # what an admin's buttons had to ask for
    report: Report = field(default_factory=Report)
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem and self.report.holds

    def line(self) -> str:
        took = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
        asked = f" after {' and '.join(self.asked)}" if self.asked else ""
        verdict = f"FAILED: {self.problem}" if self.problem else "held" if self.passed else "FAILED"
        faults = ", then ".join(self.faults)
        return f"{self.number:>3} {self.crm} kill -9 {self.victim}; {faults}: {verdict}{asked} ({took}); {self.report}"


def play(options: argparse.Namespace, site: int, sandbox_port: int, secret: str) -> int:
    folder: Path = options.folder.absolute()
    passwords = json.loads((folder / "secrets.json").read_text())
    call_command("migrate", verbosity=0)
    url, dice, played = f"http://127.0.0.1:{site}", Random(options.seed), list[Round]()
    ago = (datetime.now(UTC) - timedelta(hours=6)).isoformat(timespec="seconds")  # nothing has just changed
    manners = ("--delay=20", f"--seed={options.seed}", f"--now={ago}")
    told = (f"--hubspot-webhooks={url}/webhooks/hubspot/", f"--hubspot-secret={secret}")
    processes = {
        "web": Process(folder, "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{site}", "--log-level=error"),
        "worker": worker(folder),
        "beat": Process(folder, "celery", "-A", "config.celery", "beat", f"--schedule={folder}/beat", "--pidfile="),
    }
    victims: dict[str, Victim] = {
        **processes,
        "valkey": Service(embedded.Valkey(folder, passwords)),
        "postgres": Service(embedded.Postgres(folder, passwords, durable=True)),
    }
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.run(folder, *manners, *told, deals=options.deals, port=sandbox_port))
        for process in processes.values():
            stack.enter_context(process.running())
        until(lambda: _answers(f"{url}/healthz"), 60, "the web server to answer")
        for crm in options.crms:
            sandbox.clock(crm, skew=dice.choice(SKEWS))
        turns = zip(range(1, options.rounds + 1), cycle(options.crms), cycle(options.only), strict=False)
        for number, crm, victim in turns:
            one = Round(number, crm, victim, (dice.choice(options.faults), dice.choice(options.faults)))
            stage = Stage(one, sandbox, victims[victim], Random(dice.random()), options)
            stage.play()
            for name, process in processes.items():  # a supervisor would start it again, but nothing should end
                if process.process and process.process.poll() is not None:
                    one.problem = f"{name} ended by itself; {one.problem}"
                    process.start()
            played.append(one)
            say(one.line())
            for difference in one.report.differences[:10]:
                say(f"      {difference}")
        for process in processes.values():  # what they are at is of no use to anybody
            process.kill()
    failed = [one.number for one in played if not one.passed]
    slowest = max(one.seconds.get("oracle", 0) for one in played)
    say(json.dumps({"rounds": len(played), "failed": failed, "slowest": round(slowest, 1), "seed": options.seed}))
    return 1 if failed else 0


class Stage:
    """One round, with an organisation of its own."""

    def __init__(self, one: Round, sandbox: Sandbox, victim: Victim, dice: Random, options: argparse.Namespace) -> None:
        self.round, self.sandbox, self.victim, self.dice, self.options = one, sandbox, victim, dice, options
        self.crm = one.crm
        self.alive = True

    def play(self) -> None:
        self.calm()
        self.sandbox._control("DELETE", f"{self.crm}/webhooks")
        self.organisation = Organisation.objects.create(name=f"Round {self.round.number}", time_zone="Europe/Paris")
        with tenant(self.organisation):
            self.connection = sync.connect(self.organisation, self.crm, TOKENS[self.crm])
        try:
            self.first_sync()
            self.storm()
            self.settle()
        except Exception as error:  # it is told, and the next round is another one
            self.round.problem = f"{type(error).__name__}: {error}"
        finally:
            self.leave()

    def first_sync(self) -> None:
        began = time.monotonic()
        self.spoil(self.round.faults[0])
        after = self.dice.randrange(1, 14)
        until(lambda: self.pages() >= after or self.has_synced(), PATIENCE, f"page {after}")
        self.strike()
        until(self.has_synced, PATIENCE, "the first synchronisation")
        self.calm()
        self.round.seconds["first sync"] = time.monotonic() - began
        if self.crm == "pipedrive":  # it is told that it shall tell; the sweep of webhooks does so every 30 seconds
            webhook_tasks.sweep.delay()
            until(lambda: len(self.sandbox.tell(self.crm)["hooks"]) == 4, PATIENCE, "the webhooks to be registered")

    def storm(self) -> None:
        self.sandbox.tell(self.crm, pace=PACE[self.crm], duplicates=0.2, shuffle=1.0)
        self.storming = Storm(self.sandbox, self.crm, self.dice)
        self.spoil(self.round.faults[1])
        thread = Thread(target=self.storming.blow, args=(self.options.changes,))
        thread.start()
        time.sleep(self.dice.uniform(0.2, 3))
        self.strike()
        thread.join()
        if self.storming.error:
            raise self.storming.error
        self.calm()

    def settle(self) -> None:
        """Everything runs again, and the CRM is well: until the oracle holds.

        What the CRM tells nobody (a change of nothing but the time, what it gave up telling) the regular reading finds
        within five minutes, and what it dropped without a word the night's comparison: when nothing else is left to
        do, both are asked for by what an admin's buttons do.
        """
        began = time.monotonic()
        buttons = {"synchronising": sync.start, "comparing": reconcile.begin}
        while True:
            with suppress(Error, OSError):
                report = self.round.report = judge(self.organisation, self.sandbox, self.crm, self.storming.emptied)
                took = self.round.seconds["oracle"] = time.monotonic() - began
                if report.holds or took > PATIENCE:
                    return
                busy = self.ledger()["waiting"] or "left" in report.by_kind()
                if buttons and not busy:
                    what = next(iter(buttons))
                    self.ask(what, buttons.pop(what))
            connection.close()
            time.sleep(0.5)

    def ask(self, what: str, begin: Callable[[Connection], object]) -> None:
        with tenant(self.organisation):
            begin(Connection.objects.select_related("source").get(pk=self.connection.pk))
        self.round.asked.append(what)

    def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sandbox._control("GET", f"{self.crm}/webhooks/acknowledged")
        return found

    def spoil(self, name: str) -> None:
        fault = FAULTS[name]
        if "status" in fault:
            self.sandbox.fail(self.crm, seed=self.dice.randrange(10**6), **fault)
        elif fault:
            self.sandbox.clock(self.crm, **fault)

    def calm(self) -> None:
        self.sandbox.heal()
        self.sandbox.clock(self.crm, late=0)

    def strike(self) -> None:
        self.alive = False
        self.victim.kill()
        time.sleep(self.dice.uniform(*DOWN))
        self.victim.start()
        self.alive = True
        if self.options.ring:
            for sweep in (tasks.sweep, webhook_tasks.sweep, evaluations.sweep):
                sweep.delay()

    def pages(self) -> int:
        with tenant(self.organisation):
            return sum(StreamProgress.objects.values_list("pages", flat=True))

    def has_synced(self) -> bool:
        with tenant(self.organisation):
            return not SyncRun.objects.filter(finished_at=None).exists()

    def leave(self) -> None:
        """The organisation reads no more, and everything runs for the next round."""
        if not self.alive:
            self.victim.start()
        self.calm()
        connection.close()
        with tenant(self.organisation):
            sync.disconnect(Connection.objects.get(pk=self.connection.pk))


def until(what: Callable[[], object], patience: float, name: str) -> None:
    """While PostgreSQL is away, nothing is known."""
    end = time.monotonic() + patience
    while True:
        with suppress(Error, OSError):
            if what():
                return
        if time.monotonic() > end:
            raise TimeoutError(f"not within {patience:.0f} s: {name}")
        connection.close()
        time.sleep(0.05)


def say(line: str) -> None:
    print(line, flush=True)
