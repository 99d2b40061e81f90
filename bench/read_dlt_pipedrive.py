"""Run by an interpreter that has dlt and its Pipedrive source: python read_dlt_pipedrive.py URL FOLDER.

Reads what Vigie reads and writes it as files below FOLDER, which is faster than into a database. Prints how many
records in how many seconds, as JSON.
"""

import json
import os
import sys
import time
from typing import Any

RESOURCES = ("activities", "deals", "organizations", "persons", "pipelines", "stages", "users")


def main(url: str, folder: str) -> None:
    os.environ |= {"DLT_DATA_DIR": folder, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    import dlt  # type: ignore[import-not-found]
    from pipedrive import pipedrive_source  # type: ignore[import-not-found]
    from pipedrive.helpers import pages  # type: ignore[import-not-found]

    class Http:
        """The address is written into the source."""

        @staticmethod
        def get(address: str, **more: Any) -> Any:
            return dlt.sources.helpers.requests.get(address.replace("https://app.pipedrive.com", url), **more)

    pages.requests = Http
    files = dlt.destinations.filesystem(f"file://{folder}/out")
    began = time.perf_counter()
    pipeline = dlt.pipeline("bench", pipelines_dir=f"{folder}/work", destination=files, dataset_name="bench")
    pipeline.run(pipedrive_source("sandbox-pipedrive-token").with_resources(*RESOURCES))
    taken = time.perf_counter() - began
    rows = pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps({"records": sum(rows.get(name, 0) for name in RESOURCES), "seconds": taken}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
