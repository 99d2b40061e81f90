"""The CRM sandbox as a process of its own, and its control path."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests


@dataclass
class Sandbox:
    url: str

    @classmethod
    @contextmanager
    def run(cls, folder: Path, *arguments: str, deals: int = 60, port: int = 0) -> Iterator["Sandbox"]:
        """Start a sandbox on `port` (0: a free one) until the block ends."""
        options = ("--port", str(port), "--deals", str(deals), "--burst", "100000", *arguments)
        command = [sys.executable, "-m", "crm_sandbox", *options]
        with (folder / "sandbox.log").open("w") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, f"the sandbox did not start: {line}{(folder / 'sandbox.log').read_text()}"
            yield cls(found.group())
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.url}/control/{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def reset(self) -> None:
        self.heal()
        for crm in ("pipedrive", "hubspot"):
            self._control("DELETE", f"{crm}/oauth")
            self._control("DELETE", f"{crm}/clock")
        self.forget_requests()

    def fail(self, crm: str, status: object, count: int | None = 1, **more: Any) -> None:
        """How the next answers are (crm_sandbox.faults.Fault)."""
        self._control("POST", "faults", {"crm": crm, "status": status, "count": count, **more})

    def limits(self, crm: str, **change: float) -> dict[str, float]:
        """How often may be asked (crm_sandbox.limits.Limits), after a change, and what was."""
        found: dict[str, float] = self._control("POST", f"{crm}/limits", change)
        return found

    def oauth(self, crm: str, verb: str = "", **manners: object) -> dict[str, Any]:
        """How its sign-ins are from now on (crm_sandbox.oauth.Manners), or `expire`, `uninstall`; counts of before."""
        path = f"{crm}/oauth/{verb}".rstrip("/")
        found: dict[str, Any] = self._control("POST", path, manners)
        return found

    def clock(self, crm: str, **change: float) -> None:
        """`skew`: seconds by which its clock is ahead; `late`: seconds until its search finds a change."""
        self._control("POST", f"{crm}/clock", change)

    def tell(self, crm: str, **manners: float) -> dict[str, Any]:
        """How changes are told from now on (crm_sandbox.webhooks.Manners); counts and what is registered."""
        found: dict[str, Any] = self._control("POST", f"{crm}/webhooks", manners)
        return found

    def ledger(self, crm: str) -> list[tuple[str, str, str, bool]]:
        """Every event that was to be told: object, id, when, and whether somebody acknowledged it."""
        return [tuple(event) for event in self._control("GET", f"{crm}/webhooks/acknowledged")["events"]]

    def heal(self) -> None:
        self._control("DELETE", "faults")

    def requests(self) -> list[dict[str, Any]]:
        answer = self._control("GET", "requests")
        found: list[dict[str, Any]] = answer["requests"] if isinstance(answer, dict) else answer
        return found

    def forget_requests(self) -> None:
        self._control("DELETE", "requests")

    def change(self, crm: str, kind: str, ref: str, values: dict[str, Any]) -> Any:
        return self._control("POST", f"{crm}/{kind}/{ref}", values)

    def happen(self, crm: str, change: str, kind: str = "", ids: Any = "all", **more: Any) -> Any:
        """Delete, restore, archive, merge, hide, remember, recall … (crm_sandbox.changes)."""
        return self._control("POST", f"{crm}/changes", {"change": change, "kind": kind, "ids": ids, **more})

    def log(self, crm: str, activity: dict[str, Any]) -> Any:
        return self._control("POST", f"{crm}/activities", activity)

    def change_account(self, crm: str, lists: dict[str, Any]) -> None:
        """Its fields, labels, owners, …: by their names in `raw(crm)["fixed"]`."""
        self._control("POST", f"{crm}/account", lists)

    def raw(self, crm: str) -> dict[str, Any]:
        found: dict[str, Any] = self._control("GET", f"{crm}/raw")
        return found
