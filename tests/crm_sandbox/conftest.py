"""The sandbox as a process of its own on a free port, and a client for it that knows nothing of the product."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.sandbox import Sandbox

NOW = "2026-11-22T09:00:00Z"
TOKENS = {
    "pipedrive": {"x-api-token": "sandbox-pipedrive-token"},
    "hubspot": {"Authorization": "Bearer sandbox-hubspot-token"},
}


@dataclass
class Client:
    sandbox: Sandbox

    def call(self, crm: str, path: str, body: Any = None, headers: Any = None, **query: Any) -> requests.Response:
        """GET, or POST when there is a body."""
        headers = TOKENS[crm] if headers is None else headers
        method, url = "GET" if body is None else "POST", f"{self.sandbox.url}/{crm}/{path}"
        return requests.request(method, url, params=query, json=body, headers=headers, timeout=10)

    def pipedrive(self, path: str, version: str = "v2", **query: Any) -> Any:
        answer = self.call("pipedrive", f"api/{version}/{path}", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def hubspot(self, path: str, body: Any = None, status: int = 200, **query: Any) -> Any:
        answer = self.call("hubspot", f"crm/{path}", body, **query)
        assert answer.status_code == status, answer.text
        return answer.json()

    def all_pipedrive(self, path: str, **query: Any) -> list[Any]:
        found, cursor = [], {}
        while True:
            page = self.pipedrive(path, **query, **cursor)
            found += page["data"]
            if not page["additional_data"]["next_cursor"]:
                return found
            cursor = {"cursor": page["additional_data"]["next_cursor"]}

    def all_hubspot(self, kind: str, **query: Any) -> list[Any]:
        found, after = [], {}
        while True:
            page = self.hubspot(f"objects/2026-09/{kind}", **query, **after)
            found += page["results"]
            if "paging" not in page:
                return found
            after = {"after": page["paging"]["next"]["after"]}

    def control(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = requests.request(method, f"{self.sandbox.url}/control/{path}", json=body, timeout=10)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def crms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Both CRMs with 300 deals each, read only."""
    with Sandbox.run(tmp_path_factory.mktemp("crms"), "--now", NOW, deals=300) as sandbox:
        yield Client(sandbox)


@pytest.fixture(scope="module")
def _own_crms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Sandbox.run(tmp_path_factory.mktemp("own"), "--now", NOW, deals=60) as sandbox:
        yield Client(sandbox)


@pytest.fixture
def own_crms(_own_crms: Client) -> Iterator[Client]:
    """Both CRMs, small, to be changed and made to fail; without faults and requests of the test before."""
    _own_crms.sandbox.reset()
    yield _own_crms
    _own_crms.sandbox.heal()
