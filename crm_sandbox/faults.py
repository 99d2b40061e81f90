"""Failure on demand."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from crm_sandbox.messages import Answer

DOWN: Literal["down"] = "down"
HTML = "html403"
# What the gateway shows to a client that goes on after 429.
CLOUDFLARE_PAGE = (
    b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    b"<body><h1>Sorry, you have been blocked</h1><p>Error 1020</p></body></html>"
)


class Faulty(Protocol):
    def fault(self, status: int, *, daily: bool, retry_after: int) -> Answer: ...


@dataclass(slots=True)
class Fault:
    """The next `count` requests whose path contains `path` fail; count None: all, until it is taken away."""

    crm: str
    status: int | str
    count: int | None = None
    path: str = ""
    daily: bool = False
    retry_after: int = 1

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Fault":
        """ValueError or TypeError when it is none."""
        fault = cls(**value)
        known = fault.status in (DOWN, HTML) or (isinstance(fault.status, int) and 400 <= fault.status < 600)
        if fault.crm not in ("pipedrive", "hubspot") or not known:
            raise ValueError("crm: pipedrive or hubspot; status: 400 to 599, 'down' or 'html403'")
        return fault

    def answer(self, api: Faulty) -> Answer:
        if self.status == HTML:
            return Answer(403, CLOUDFLARE_PAGE, {"Server": "cloudflare"}, "text/html; charset=UTF-8")
        return api.fault(int(self.status), daily=self.daily, retry_after=self.retry_after)


class Faults:
    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, crm: str, path: str) -> Fault | None:
        for fault in self.waiting:
            if fault.crm == crm and fault.path in path:
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self.waiting.remove(fault)
                return fault
        return None
