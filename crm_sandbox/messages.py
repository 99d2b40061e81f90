"""A request as the CRMs see it, and the answer."""

from dataclasses import dataclass, field
from typing import Any

from crm_sandbox.store import dumps


@dataclass(frozen=True, slots=True)
class Request:
    """`path` has no prefix and no slash at its ends; repeated query parameters keep the last value."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    origin: str  # http://host:port

    @property
    def parts(self) -> list[str]:
        return self.path.split("/")


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    cut: int | None = None  # bytes of the body after which the line is cut (crm_sandbox.faults)


def answer(status: int, value: Any, **headers: object) -> Answer:
    return Answer(status, dumps(value), {name.replace("_", "-"): str(text) for name, text in headers.items()})


class Refused(Exception):
    """Carries the error answer out of whatever found the fault."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer
