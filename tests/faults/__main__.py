"""python -m tests.faults [--rounds 20] [--seed 1] [--only web,worker,beat,valkey,postgres]: kill -9, and what is left.

Runs in `config.embedded --folder FOLDER --durable` (`make faults`), on that folder's PostgreSQL and Valkey. Prints a
line for each round and a JSON summary at the end; the exit code is 1 when the oracle did not hold in time in any.
"""

import argparse
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import django

SECRET = "a-secret-of-the-rounds"


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def main() -> int:
    victims = ("web", "worker", "beat", "valkey", "postgres")
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".vigie/faults"), help="that of config.embedded")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(victims), help="what is killed, in turn")
    parser.add_argument("--deals", type=int, default=100, help="of each CRM")
    parser.add_argument("--changes", type=int, default=200, help="in each storm")
    parser.add_argument("--crms", default="hubspot,pipedrive", help="in turn")
    parser.add_argument("--faults", default="", help="of the CRM, at random (tests.faults.rounds.FAULTS)")
    parser.add_argument("--ring", action="store_true", help="ring the sweeps at once, not half a minute later by beat")
    options = parser.parse_args()
    options.only, options.crms = options.only.split(","), options.crms.split(",")
    if unknown := {*options.only} - {*victims}:
        parser.error(f"there is no {', '.join(sorted(unknown))}: {', '.join(victims)}")
    site, sandbox = free_ports(2)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SITE_URL": f"http://127.0.0.1:{site}",
        "PIPEDRIVE_API_URL": f"http://127.0.0.1:{sandbox}/pipedrive",
        "HUBSPOT_API_URL": f"http://127.0.0.1:{sandbox}/hubspot",
        "HUBSPOT_CLIENT_SECRET": SECRET,
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # no process is left behind
    django.setup()
    logging.disable(logging.WARNING)
    from tests.faults.rounds import FAULTS, play  # its models need the settings

    options.faults = options.faults.split(",") if options.faults else [*FAULTS]
    return play(options, site, sandbox, SECRET)


if __name__ == "__main__":
    sys.exit(main())
