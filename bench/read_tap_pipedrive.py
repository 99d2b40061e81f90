"""Run by an interpreter that has tap-pipedrive (bench.connectors): python read_tap_pipedrive.py URL START

Reads what Vigie reads, from START (ISO 8601) on, and prints how many records it wrote in how many seconds, as JSON.
"""

import json
import sys
import time

# What is written to is no file: the tap's lines are counted and dropped.
STREAMS = {"activities", "deals", "organizations", "persons", "pipelines", "stages", "users"}


class Counter:
    def __init__(self) -> None:
        self.records = 0

    def write(self, text: str) -> None:
        self.records += text.startswith('{"type": "RECORD"')

    def flush(self) -> None:
        """Nothing is held back."""


def main(url: str, start: str) -> None:
    from tap_pipedrive import tap  # type: ignore[import-not-found]

    tap.BASE_URL = url
    tap.logger.disabled = True
    reader = tap.PipedriveTap({"api_token": "sandbox-pipedrive-token", "start_date": start}, {})
    counter, stdout = Counter(), sys.stdout
    sys.stdout = counter  # type: ignore[assignment]
    began = time.perf_counter()
    catalog = reader.do_discover()
    for stream in catalog.streams:
        # Its own page of 100 stays: nothing in its configuration changes that.
        whole = next(each for each in stream.metadata if not each["breadcrumb"])
        whole["metadata"]["selected"] = stream.tap_stream_id in STREAMS
    reader.do_sync(catalog)
    taken = time.perf_counter() - began
    sys.stdout = stdout
    print(json.dumps({"records": counter.records, "seconds": taken}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
