"""What a CRM can be asked, and the words for what it answers.

A provider reads and nothing else: it knows neither Django nor the database. Its answers are the records of
`deals.records`; its failures are the `CrmError`s below, whose `code` the pages turn into a sentence.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol

from deals.records import Batch, Detail, Kept


class CrmError(Exception):
    """A failure that the user can be told by its `code`. The text is for logs; it never holds a token."""

    code = "crm_error"


class TokenRefused(CrmError):
    """The CRM does not know the token, or not any more."""

    code = "token_refused"


class MissingPermission(CrmError):
    """The token is valid but may not read `what` (a path); `scopes` are those that the CRM says are missing."""

    code = "missing_permission"

    def __init__(self, text: str = "", *, what: str = "", scopes: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.what, self.scopes = what, scopes


class RateLimited(CrmError):
    """Too many requests, and waiting would take longer than one request may. `retry_after` in seconds, if told.

    `daily`: the budget of the whole day is spent (code `daily_limit`); asking again before it resets is useless.
    `reserved`: but for a part that is kept for webhooks (code `daily_reserve`).
    """

    def __init__(
        self, text: str = "", *, retry_after: float | None = None, daily: bool = False, reserved: bool = False
    ) -> None:
        super().__init__(text)
        self.retry_after, self.daily = retry_after, daily
        self.code = "daily_reserve" if reserved else "daily_limit" if daily else "rate_limited"


class CrmDown(CrmError):
    """No connection, no answer in time, or a server error, several times in a row."""

    code = "crm_down"


class UnexpectedAnswer(CrmError):
    """Not what the CRM documents: a redirect, HTML, broken or foreign JSON. `status` is that of the answer, if any."""

    code = "unexpected_answer"

    def __init__(self, text: str = "", *, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Account:
    """The CRM account that a token opens. `link_base` + a deal's id is the address of that deal in the CRM."""

    account_id: str
    name: str
    link_base: str
    time_zone: str
    currency: str
    user_id: str = ""  # whose token it is, where the CRM says so

    def deal_link(self, external_id: str) -> str:
        return self.link_base + external_id


@dataclass(frozen=True, slots=True)
class TypeOfActivity:
    """A type that the CRM's users give activities; what was deactivated is told too."""

    key: str
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a stream. `cursor` is opaque text for the next one, None at the end.

    `count` is the number of CRM records read, `high_water` the latest time of change among those in `batch` (UTC).
    `gone`: after `fetch`, the ids asked for that the CRM does not know (any more). `types`: all of the CRM's own types
    of activities, when they were read.
    """

    batch: Batch
    cursor: str | None
    count: int
    high_water: datetime | None
    gone: tuple[str, ...] = ()
    types: tuple[TypeOfActivity, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """That the CRM has an object, and since when as it is (UTC; None where the CRM does not tell)."""

    external_id: str
    updated_at: datetime | None
    archived: bool = False


@dataclass(frozen=True, slots=True)
class VersionPage:
    """One page of versions. `cursor` is opaque text for the next one, None at the end."""

    versions: Sequence[Version]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Field:
    """Where the CRM may hold the role or the job title of its contacts, for an admin to choose.

    `label` is the CRM's, "" for what is no single field there; `options` the roles that it offers, () for a free text.
    """

    key: str
    label: str
    use: Literal["role", "title"]
    options: tuple[str, ...] = ()


class Budget(Protocol):
    """How often a CRM may be asked, as `crm_sync.budget` keeps it for all workers."""

    def take(self, *, search: bool = False) -> float:
        """Seconds to wait before asking again whether one request may go; 0: it may, and is counted."""

    def learn(self, headers: Mapping[str, str]) -> None:
        """What an answer says of it."""

    def hold(self, seconds: float) -> None:
        """The CRM wants to be left alone for so long."""

    def end_day(self) -> None:
        """The CRM says that the day's budget is spent."""


class Provider(ABC):
    """One account of one CRM, through one token. Every verb may raise a `CrmError`.

    `oauth`: the token came by signing in, and goes where such tokens go.
    `role_field`, `title_field`: keys of `fields()`, where the CRM has no role or title of its own.
    `activity_kinds`: what the account's own types of activities are, by key, "" for nothing that counts; where it has
    such types. One that is not named is what the CRM delivers it as.
    `time_zone`, `currency`: those of the account (`identify()`), for dates and amounts that the CRM gives without.
    `budget`: without one, only the CRM's own refusals are obeyed.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    streams: ClassVar[tuple[str, ...]]  # in the order of the first sync
    # Streams read whole, or dear for what they tell: a pull may leave them out and ask them, say, once an hour.
    hourly: ClassVar[frozenset[str]] = frozenset()
    # Streams whose records say who holds a role, by the name that it has when they are read.
    role_streams: ClassVar[tuple[str, ...]] = ()
    # Streams that can be compared with what is here, by `versions`, and the kind of their records.
    compared: ClassVar[Mapping[str, Kept]] = {}
    # What is told of single deals only, in the order of its use, and of how many deals at most in one `detail`.
    details: ClassVar[Mapping[Detail, int]] = {}

    @abstractmethod
    def __init__(
        self,
        token: str,
        base_url: str,
        *,
        oauth: bool = False,
        role_field: str = "",
        title_field: str = "",
        activity_kinds: Mapping[str, str] = {},
        time_zone: str = "UTC",
        currency: str = "",
        timeout: tuple[float, float] = (5, 30),
        budget: Budget | None = None,
    ) -> None: ...

    @abstractmethod
    def identify(self) -> Account:
        """Whose token this is; also tells whether it may read what cannot be done without."""

    @abstractmethod
    def read(self, stream: str, cursor: str | None, since: datetime | None, until: datetime) -> Page:
        """One page of a stream: everything when `since` is None, else what changed in [since, until] and after.

        `since` and `until` (aware) must stay the same from the first page of a pass to its last. What changes during
        a pass may be missed by it: the next one starts at this one's beginning, less an overlap.
        """

    @abstractmethod
    def fetch(self, stream: str, ids: Sequence[str]) -> Page:
        """The objects of a stream with these ids, as `read` gives them, in the fewest requests; `cursor` is None.

        `ids` and `gone` are external ids as the records carry them. What the CRM keeps in its recycle bin comes as a
        deleted record. ValueError for a stream that has no such ids (those read whole) and for what cannot be an id.
        """

    @abstractmethod
    def versions(self, stream: str, cursor: str | None) -> VersionPage:
        """One page of all that the CRM holds of a stream in `compared` and that `read` would give as a living record,
        in the fewest and smallest requests; ids as the records carry them. ValueError for another stream."""

    def detail(self, what: Detail, deals: Sequence[str]) -> Batch:
        """`what` of the deals with these ids, at most `details[what]` of them; one that the CRM does not know is left
        out. ValueError for another detail and for what cannot be an id."""
        raise ValueError(f"{self.label} tells no {what} of single deals.")

    def fields(self) -> list[Field]:
        return []

    def clock_ahead(self) -> timedelta:
        """By how much the CRM's clock was ahead of this machine's when it answered last (±2 s)."""
        return timedelta(0)

    def keep_webhooks(self, url: str, user: str, password: str) -> bool:
        """See to it that changes are posted to `url` with HTTP Basic; whether something was missing and is made now.

        Only where each account registers its own; where the app does, nothing is ever missing.
        """
        return False

    def drop_webhooks(self, url: str) -> None:  # noqa: B027 - where the app registers, there is nothing to do
        """Take away what `keep_webhooks` made for `url`."""


def chunks(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    """Each id once, in order, at most `size` at a time."""
    found = list(dict.fromkeys(ids))
    return (found[start : start + size] for start in range(0, len(found), size))


# A step is one request's address and its fixed parameters; some streams need several steps, one after the other.
Step = tuple[str, Mapping[str, Any]]


def unpack(cursor: str | None) -> tuple[int, str]:
    """The step, and the CRM's own cursor within it ("" at its beginning)."""
    step, _, position = (cursor or "0:").partition(":")
    return int(step), position


def pack(step: int, position: str | None, steps: int) -> str | None:
    """The cursor after a page of `step`, of which the CRM says that it goes on at `position`."""
    if position:
        return f"{step}:{position}"
    return f"{step + 1}:" if step + 1 < steps else None
