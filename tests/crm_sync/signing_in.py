"""Somebody who connects a CRM by signing in there: our page, the CRM's, and the way back."""

import html
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from django.test import Client

from accounts.models import Organisation
from accounts.tenancy import tenant
from crm_sync import sync
from crm_sync.models import Connection, SyncRun

PAGE = "/settings/crm/"
TOKENS = {"pipedrive": "sandbox-pipedrive-token", "hubspot": "sandbox-hubspot-token"}


class Company:
    """Just enough of a World to log in to."""

    def __init__(self, name: str = "Test") -> None:
        self.organisation = Organisation.objects.create(name=name, time_zone="Europe/Paris")

    def connections(self) -> list[Connection]:
        with tenant(self.organisation):
            return list(Connection.objects.select_related("source", "connected_by").order_by("pk"))

    def only(self) -> Connection:
        [connection] = self.connections()
        return connection

    def change(self, **fields: Any) -> None:
        with tenant(self.organisation):
            Connection.objects.update(**fields)

    def read(self, steps: int | None = None) -> SyncRun:
        """Carry the newest run on, by some pages or to its end, as the worker does."""
        with tenant(self.organisation):
            run = SyncRun.objects.latest("pk")
            SyncRun.objects.filter(pk=run.pk).update(retry_at=None)
        reader = sync.Reader(self.organisation.pk, run.pk)
        while (steps is None or steps > 0) and reader.step():
            steps = steps and steps - 1
        with tenant(self.organisation):
            run.refresh_from_db()
        return run


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def start(client: Client, crm: str, **form: str) -> str:
    """Press the button; the address at the CRM that our page leads to."""
    answer = client.post(f"{PAGE}sign-in/{crm}/", form)
    assert answer.status_code == 200, answer.status_code
    [address] = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.content.decode())
    assert f'<a class="button primary" href="{address}"' in answer.content.decode()
    return html.unescape(address)


def at_crm(address: str) -> str:
    """Allow it there; the address of ours that the browser is sent to."""
    answer = requests.get(address, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"].removeprefix("http://testserver")


def sign_in(client: Client, crm: str, **form: str) -> Any:
    return client.get(at_crm(start(client, crm, **form)), follow=True)


def query(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))
