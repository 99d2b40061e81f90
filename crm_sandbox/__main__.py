"""python -m crm_sandbox: serves a Pipedrive and a HubSpot with invented data on this machine."""

import argparse
import contextlib
import gc
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from crm_sandbox import hubspot_data, pipedrive_data, scenario
from crm_sandbox.clock import seconds
from crm_sandbox.control import Control, Writer
from crm_sandbox.faults import Faults
from crm_sandbox.hubspot import HubSpot
from crm_sandbox.hubspot_writer import HubSpotWriter
from crm_sandbox.oauth import CLIENT_SECRET
from crm_sandbox.pipedrive import Pipedrive
from crm_sandbox.pipedrive_writer import PipedriveWriter
from crm_sandbox.server import Api, Log, Server
from crm_sandbox.webhooks import HubSpotWebhooks, PipedriveWebhooks


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crm_sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8010, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--deals", type=int, default=300, help="deals of each CRM")
    parser.add_argument(
        "--now", type=seconds, help="ISO 8601 with a zone: the moment around which the data is invented"
    )
    parser.add_argument("--pipedrive-token", default="sandbox-pipedrive-token")
    parser.add_argument("--hubspot-token", default="sandbox-hubspot-token")
    parser.add_argument("--hubspot-webhooks", default="", help="the address to which HubSpot's app tells what changes")
    parser.add_argument("--hubspot-secret", default=CLIENT_SECRET, help="the client secret with which it signs that")
    parser.add_argument("--delay", type=int, default=0, help="milliseconds before a CRM answers: the real ones are far")
    parser.add_argument("--burst", type=int, help="requests that a CRM allows in its window, else theirs")
    parser.add_argument("--scenario", type=Path, help="JSON with exact objects, served instead of invented ones")
    return parser.parse_args(arguments)


def build(options: argparse.Namespace) -> Server:
    now = options.now if options.now is not None else int(datetime.now(UTC).timestamp())
    gc.disable()  # nothing made here is ever freed
    if options.scenario:
        given = json.loads(options.scenario.read_text())
        crms = scenario.pipedrive(given.get("pipedrive", {}), now), scenario.hubspot(given.get("hubspot", {}), now)
    else:
        crms = (
            pipedrive_data.generate(options.seed, options.deals, now),
            hubspot_data.generate(options.seed, options.deals, now),
        )
    gc.freeze()
    gc.enable()
    faults, log = Faults(), Log()
    writers: dict[str, Writer] = {"pipedrive": PipedriveWriter(crms[0]), "hubspot": HubSpotWriter(crms[1])}
    pipedrive, hubspot = Pipedrive(crms[0], options.pipedrive_token), HubSpot(crms[1], options.hubspot_token)
    oauth = {crm.prefix: crm.oauth for crm in (pipedrive, hubspot)}
    limits = {crm.prefix: crm.limits for crm in (pipedrive, hubspot)}
    webhooks: dict[str, PipedriveWebhooks | HubSpotWebhooks]
    webhooks = {"pipedrive": pipedrive.webhooks, "hubspot": hubspot.webhooks}
    hubspot.webhooks.listen(options.hubspot_webhooks, options.hubspot_secret)
    if options.burst:
        for each in (*limits.values(), hubspot.searches):
            each.requests = options.burst
    apis = (pipedrive, hubspot, Control(writers, faults, log, oauth, limits, webhooks))
    try:
        by_prefix: dict[str, Api] = {api.prefix: api for api in apis}
        return Server((options.host, options.port), by_prefix, faults, log, options.delay / 1000)
    except OSError as error:
        sys.exit(f"The CRM sandbox cannot listen on {options.host}:{options.port}: {error.strerror}.")


def main() -> None:
    options = parse(sys.argv[1:])
    with build(options) as server:

        def stop(_number: int, _frame: FrameType | None) -> None:
            server.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        host, port = server.server_address[:2]
        sys.stdout.write(f"crm sandbox ready on http://{host if isinstance(host, str) else host.decode()}:{port}\n")
        sys.stdout.flush()
        with contextlib.suppress(SystemExit):
            server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
