"""A client of the API: JSON in, JSON out."""

from typing import Any

from django.test import Client

from tests.pages import log_in
from tests.world import World

PATH = "/api/v1/"


class Api:
    """`api("put", "alerts/settings/", {...})` answers (status, data)."""

    def __init__(self, world: World, role: str = "admin", email: str = "ana@vigie.example", language: str = "en"):
        self.client: Client = log_in(world, role, email, language)

    def __call__(self, method: str, path: str, data: Any = None) -> tuple[int, Any]:
        content = {} if data is None else {"data": data, "content_type": "application/json"}
        if isinstance(data, bytes):
            content["content_type"] = "application/yaml"
        answer = getattr(self.client, method)(path if path.startswith("/") else PATH + path, **content)
        return answer.status_code, answer.json() if answer.content else None
