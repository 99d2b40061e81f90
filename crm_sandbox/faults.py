"""Failure on demand: what the next answers are like, and what is wrong with a CRM for a while.

An answer is one of these by its `status`:

400 to 599  the CRM's own error; 429 also of the whole day ("daily")
down        the line is cut before anything is answered
cut         the line is cut in the middle of the body that was announced
truncated   200 with half of the JSON, and the length of that half: some proxy's work
html403     the gateway's page for a client that went on after 429
empty       200 with nothing: a list or a batch that has no rows, and says that all is well
slow        the right answer, after "seconds"
"""

import random
import time
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from crm_sandbox.messages import Answer

DOWN: Literal["down"] = "down"
HTML, CUT, TRUNCATED, EMPTY, SLOW = "html403", "cut", "truncated", "empty", "slow"
KINDS = (DOWN, HTML, CUT, TRUNCATED, EMPTY, SLOW)
# What the gateway shows to a client that goes on after 429.
CLOUDFLARE_PAGE = (
    b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    b"<body><h1>Sorry, you have been blocked</h1><p>Error 1020</p></body></html>"
)
NOTHING = {
    "pipedrive": b'{"success":true,"data":null,"additional_data":{"next_cursor":null}}',
    "hubspot": b'{"status":"COMPLETE","total":0,"results":[]}',
}


class Faulty(Protocol):
    def fault(self, status: int, *, daily: bool, retry_after: int) -> Answer: ...


@dataclass(slots=True)
class Fault:
    """The next `count` requests whose path contains `path` fail; count None: all, until it is taken away.

    `share`: of those requests only so many, at random, and always the same ones for a `seed`.
    """

    crm: str
    status: int | str
    count: int | None = None
    path: str = ""
    daily: bool = False
    retry_after: int = 1
    share: float = 1.0
    seed: int = 7
    seconds: float = 1.0
    dice: random.Random = field(default_factory=random.Random, repr=False)

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Fault":
        """ValueError or TypeError when it is none."""
        fault = cls(**value)
        known = fault.status in KINDS or (isinstance(fault.status, int) and 400 <= fault.status < 600)
        if fault.crm not in ("pipedrive", "hubspot") or not known:
            raise ValueError(f"crm: pipedrive or hubspot; status: 400 to 599, {', '.join(KINDS)}")
        if not 0 < fault.share <= 1 or not 0 <= fault.seconds <= 300:
            raise ValueError("share: above 0, at most 1; seconds: 0 to 300")
        fault.dice = random.Random(fault.seed)
        return fault

    def told(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "dice"}

    def answer(self, api: Faulty) -> Answer | None:
        """Instead of the CRM's own; None: that one, spoilt (`spoil`)."""
        if self.status == HTML:
            return Answer(403, CLOUDFLARE_PAGE, {"Server": "cloudflare"}, "text/html; charset=UTF-8")
        if self.status == EMPTY:
            return Answer(200, NOTHING[self.crm])
        if self.status in KINDS:
            return None
        return api.fault(int(self.status), daily=self.daily, retry_after=self.retry_after)

    def spoil(self, right: Answer) -> Answer:
        """The CRM's right answer as it arrives; `cut` says how many bytes of it are sent."""
        if self.status == SLOW:
            time.sleep(self.seconds)
        elif self.status == TRUNCATED:
            right.body = right.body[: len(right.body) // 2]
        elif self.status == CUT:
            right.cut = len(right.body) // 2
        return right


class Faults:
    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def take(self, crm: str, path: str) -> Fault | None:
        for fault in self.waiting:
            if fault.crm == crm and fault.path in path and (fault.share == 1 or fault.dice.random() < fault.share):
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self.waiting.remove(fault)
                return fault
        return None
