"""What people do in their CRM in a few seconds: changes of every kind, each of which the CRM tells."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.sandbox import Sandbox

# Names of the title and of a contact's name at either CRM.
TITLE = {"pipedrive": "title", "hubspot": "dealname"}
PEOPLE = {"pipedrive": "persons", "hubspot": "contacts"}


class Storm:
    """`emptied`: when the amounts of deals went. A deal's amount changes once, so that no order of the changes that a
    reading may see tells another story."""

    def __init__(self, sandbox: Sandbox, crm: str, dice: Random) -> None:
        self.sandbox, self.crm, self.dice = sandbox, crm, dice
        self.emptied: dict[str, datetime] = {}
        self.error: Exception | None = None
        raw = sandbox.raw(crm)
        tables = raw["tables"]
        living = {
            str(row["id"]): row["fields"] for row in tables["deals"] if not row["deleted"] and not row["archived"]
        }
        amount = "value" if crm == "pipedrive" else "amount"
        self.deals = sorted(living)
        self.priced = [id for id in self.deals if float(living[id][amount] or 0)]
        status = {
            id: d["status"] == "open" if crm == "pipedrive" else d["hs_is_closed"] == "false"
            for id, d in living.items()
        }
        self.open = [id for id in self.deals if status[id]]
        self.contacts = [str(row["id"]) for row in tables[PEOPLE[crm]] if not row["deleted"] and not row["archived"]]
        self.calls = [
            str(row["id"]) for row in tables["activities" if crm == "pipedrive" else "calls"] if not row["deleted"]
        ]
        dice.shuffle(self.priced)
        dice.shuffle(self.calls)

    def blow(self, changes: int) -> None:
        doings = [self.empty, self.price, self.rename, self.postpone, self.close, self.phone, self.meet, self.plan]
        doings += [self.retitle, self.move_address, self.begin, self.delete_deal, self.forget_call]
        weights = [2, 2, 6, 4, 1, 5, 3, 2, 3, 2, 2, 0.5, 0.5]
        try:
            for number in range(changes):
                self.dice.choices(doings, weights)[0](number)
        except Exception as error:
            self.error = error

    def change(self, kind: str, id: str, **values: Any) -> None:
        self.sandbox.change(self.crm, kind, id, values)

    def deal(self) -> str:
        return self.dice.choice(self.deals)

    def empty(self, number: int) -> None:
        if self.priced:
            id = self.priced.pop()
            self.emptied[id] = datetime.now(UTC)
            self.change("deals", id, amount=None)

    def price(self, number: int) -> None:
        if self.priced:
            self.change("deals", self.priced.pop(), amount=1000 + number)

    def rename(self, number: int) -> None:
        self.change("deals", self.deal(), **{TITLE[self.crm]: f"Storm {number}"})

    def postpone(self, number: int) -> None:
        day = datetime.now(UTC).date() + timedelta(days=self.dice.randrange(-30, 60))
        self.change("deals", self.deal(), close_date=day.isoformat())

    def close(self, number: int) -> None:
        """Never opened again: when that was is told by nobody."""
        if self.open:
            self.change(
                "deals", self.open.pop(self.dice.randrange(len(self.open))), status=self.dice.choice(["won", "lost"])
            )

    def phone(self, number: int) -> None:
        self.log("call", -1)

    def meet(self, number: int) -> None:
        self.log("meeting", -30)

    def plan(self, number: int) -> None:
        self.log("meeting", 24 * 5)

    def log(self, kind: str, hours: float) -> None:
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
        who = [{"contact": int(self.dice.choice(self.contacts))}]
        activity = {
            "kind": kind,
            "deals": [int(self.deal())],
            "participants": who,
            "time": at.isoformat(),
            "minutes": 30,
        }
        self.sandbox.log(self.crm, activity)

    def retitle(self, number: int) -> None:
        self.change(
            "contacts", self.dice.choice(self.contacts), job_title=self.dice.choice(["CEO", "Buyer", "", "Director"])
        )

    def move_address(self, number: int) -> None:
        self.change("contacts", self.dice.choice(self.contacts), email=f"storm{number}@customer.example")

    def begin(self, number: int) -> None:
        made = self.sandbox._control(
            "POST", f"{self.crm}/deals", {TITLE[self.crm]: f"New {number}", "amount": 500 + number}
        )
        self.deals.append(str(made["id"]))

    def delete_deal(self, number: int) -> None:
        id = self.deals.pop(self.dice.randrange(len(self.deals)))
        self.open = [one for one in self.open if one != id]
        self.priced = [one for one in self.priced if one != id]
        self.change("deals", id, deleted=True)

    def forget_call(self, number: int) -> None:
        if self.calls:
            id = self.calls.pop()
            self.sandbox._control("DELETE", f"{self.crm}/activities/{id}")
