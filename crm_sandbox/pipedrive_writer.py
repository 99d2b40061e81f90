"""Changes in Pipedrive, with the times that the CRM itself would set."""

from crm_sandbox import pipedrive_history
from crm_sandbox.clock import iso, local_date, seconds
from crm_sandbox.pipedrive_data import MAIL_TIMES, ROLE_FIELD, TITLE_FIELD
from crm_sandbox.pipedrive_mail import FIRST_MESSAGE, Party, Role, message
from crm_sandbox.store import Crm, Fields, Row, dumps

KINDS = ("call", "email", "meeting", "message", "task", "lunch")
MAIL_COUNT = "email_messages_count"


class PipedriveWriter:
    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def store(self, table: str, row: Row, fields: Fields, at: int, optional: Fields | None = None) -> None:
        before = row.fields if row.id in self.crm.tables[table].rows else None
        if table == "deals" and before:
            pipedrive_history.note(self.crm, row, before, fields, at)
        fields["update_time"] = iso(at)
        row.updated, row.fields = at, dumps(fields)
        row.deleted = bool(fields["is_deleted"])
        row.archived = bool(fields.get("is_archived"))
        if optional is not None:
            row.optional = dumps(optional)
        if row.id in self.crm.tables[table].rows:
            self.crm.tables[table].touch()
        else:
            self.crm.tables[table].add(row)
        if self.crm.watcher:
            self.crm.watcher(table, row, before)

    def blank(self, table: str, at: int) -> tuple[Row, Fields]:
        """A new row: the keys of its neighbours, without their values."""
        kinds: dict[type, object] = {bool: False, dict: {}, list: []}
        if not len(self.crm.tables[table]):
            raise ValueError(f"there are no {table} that would show their keys")
        example = next(iter(self.crm.tables[table])).read()
        fields: Fields = {key: kinds.get(type(value)) for key, value in example.items()}
        id = self.crm.tables[table].next_id()
        fields |= {"id": id, "owner_id": example["owner_id"], "add_time": iso(at)}
        return Row(id, at, fields), fields

    def save_deal(self, id: int | None, change: Fields, at: int) -> int:
        if id is None:
            row, fields = self.blank("deals", at)
            stage = next(iter(self.crm.tables["stages"])).read()
            fields |= {"title": "", "value": 0, "currency": "EUR", "status": "open", "visible_to": 3}
            fields |= {"stage_id": stage["id"], "pipeline_id": stage["pipeline_id"], "label_ids": []}
        else:
            row = self.crm.tables["deals"].rows[id]
            fields = row.read()
        optional = row.read_optional()
        aliases = {
            "amount": "value",
            "close_date": "expected_close_date",
            "archived": "is_archived",
            "deleted": "is_deleted",
        }
        change = {aliases.get(name, name): value for name, value in change.items()}
        contacts: Fields = change.pop("contacts", None) or {}
        for name, value in change.items():
            if name in MAIL_TIMES:
                optional[name] = value
            elif name not in fields:
                raise ValueError(f"a deal has no {name}")
        change = {name: value for name, value in change.items() if name not in MAIL_TIMES}
        if "value" in change:
            change["value"] = change["value"] or 0
        if "stage_id" in change and change["stage_id"] != fields["stage_id"]:
            fields["stage_change_time"] = iso(at)
            if change["stage_id"] is not None:
                stage = self.crm.tables["stages"].rows[change["stage_id"]].read()
                change.setdefault("pipeline_id", stage["pipeline_id"])
        if change.get("status", fields["status"]) != fields["status"]:
            fields |= closing(change["status"], at)
        if change.get("is_archived"):
            change.setdefault("archive_time", iso(at))
        self.store("deals", row, fields | change, at, optional)
        if change.get("person_id"):
            self.crm.links.add("deals", row.id, "persons", change["person_id"])
        for contact, labels in contacts.items():
            if labels is None:
                self.crm.links.remove("deals", row.id, "persons", int(contact))
            else:
                self.crm.links.add("deals", row.id, "persons", self.crm.tables["persons"].rows[int(contact)].id)
        # The list of a deal's people is read with ?deal_id=: what was selected before is stale.
        self.crm.tables["persons"].touch()
        return row.id

    def save_contact(self, id: int | None, change: Fields, at: int) -> int:
        if id is None:
            row, fields = self.blank("persons", at)
            fields["custom_fields"] = {ROLE_FIELD: None, TITLE_FIELD: None}
        else:
            row = self.crm.tables["persons"].rows[id]
            fields = row.read()
        change = dict(change)
        if "role" in change:
            role = change.pop("role")
            fields["custom_fields"][ROLE_FIELD] = self.role_option(role) if role else None
        if "job_title" in change:
            fields["custom_fields"][TITLE_FIELD] = change["job_title"]
        if "email" in change:
            email = change.pop("email")
            fields["emails"] = [{"value": email, "primary": True, "label": "work"}] if email else []
        if "deleted" in change:
            change["is_deleted"] = change.pop("deleted")
        if unknown := set(change) - set(fields):
            raise ValueError(f"a person has no {min(unknown)}")
        self.store("persons", row, fields | change, at)
        return row.id

    def role_option(self, label: str) -> int:
        for field in self.crm.fixed["personFields"]:
            for option in field["options"] or ():
                if field["field_code"] == ROLE_FIELD and option["label"] == label:
                    return int(option["id"])
        raise ValueError(f"no such role: {label}")

    def log_activity(self, change: Fields, at: int) -> Fields:
        kind = change.get("kind")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        when = seconds(change["time"]) if change.get("time") else at
        deals = [int(id) for id in change.get("deals", ())]
        if kind == "email":
            for id in deals:
                self.mail(id, when, at, incoming="contact" in (change.get("from") or {}))
                self.message(id, when, at, change)
            return {"id": None, "type": "email"}
        row, fields = self.blank("activities", at)
        planned = bool(change.get("planned", when > at))
        people = [one for one in change.get("participants", ()) if "contact" in one]
        minutes = int(change.get("minutes", 30))
        if change.get("outcome") in ("no_answer", "voicemail", "busy"):
            kind = "unanswered_call"
        done = not planned and change.get("outcome") not in ("cancelled", "no_show", "rescheduled")
        done_at = seconds(change["done_at"]) if change.get("done_at") else max(when + minutes * 60, 0)
        all_day = bool(change.get("all_day"))
        deal = self.crm.tables["deals"].rows[deals[0]].read() if deals else {}
        fields |= {
            "subject": change.get("subject", kind.capitalize()),
            "type": change.get("type", kind),
            "deal_id": deals[0] if deals else None,
            "person_id": int(people[0]["contact"]) if people else None,
            "org_id": deal.get("org_id"),
            "owner_id": change.get("owner_id", deal.get("owner_id") or fields["owner_id"]),
            "due_date": local_date(when) if all_day else iso(when)[:10],
            "due_time": None if all_day else iso(when)[11:19],
            "duration": None if all_day else f"{minutes // 60:02d}:{minutes % 60:02d}:00",
            "done": done,
            "marked_as_done_time": iso(min(done_at, at) if done_at else at) if done else None,
            "participants": [{"person_id": int(p["contact"]), "primary": i == 0} for i, p in enumerate(people)],
            "location": None,
        }
        status = "declined" if change.get("outcome") == "declined" else "accepted"
        met = kind in ("meeting", "lunch")
        attendees = [self.attendee(one, status) for one in change.get("participants", ())] if met else []
        self.store("activities", row, fields, at, {"attendees": attendees})
        for id in deals[:1]:  # Pipedrive links an activity to one deal
            self.crm.links.add("deals", id, "activities", row.id)
        return {"id": row.id, "type": fields["type"]}

    def mail(self, deal: int, when: int, at: int, *, incoming: bool) -> None:
        row = self.crm.tables["deals"].rows[deal]
        optional, name = row.read_optional(), MAIL_TIMES[0 if incoming else 1]
        optional[name] = max(optional.get(name) or "", iso(when))
        optional[MAIL_COUNT] = (optional.get(MAIL_COUNT) or 0) + 1
        self.store("deals", row, row.read(), at, optional)

    def message(self, deal: int, when: int, at: int, change: Fields) -> None:
        owner = self.crm.tables["deals"].rows[deal].read()["owner_id"]
        users = [user for user in self.crm.fixed["users"] if user["id"] == owner] or self.crm.fixed["users"]
        said = {"from": [change.get("from") or {"colleague": users[0]["id"]}], "to": change.get("participants", ())}
        parties: dict[Role, list[Party]] = {}
        for role, people in (said | {"cc": change.get("cc", ())}).items():
            known = [self.attendee(one, "") for one in people]
            parties[role] = [Party(one["email"] or "", one["name"] or "", one["person_id"]) for one in known]  # type: ignore[index]
        id = max(self.crm.tables["mailMessages"].next_id(), FIRST_MESSAGE)
        subject, draft = change.get("subject", "Email"), bool(change.get("draft"))
        row = message(id, when, at, users[0]["id"], subject, parties, draft=draft)
        self.crm.tables["mailMessages"].add(row)
        self.crm.links.add("deals", deal, "mailMessages", id)

    def attendee(self, one: Fields, status: str) -> Fields:
        value: Fields = {"email": one.get("email"), "name": one.get("email"), "status": one.get("status", status)}
        value |= {"is_organizer": bool(one.get("organiser")), "person_id": None, "user_id": None}
        if "contact" in one:
            person = self.crm.tables["persons"].rows[int(one["contact"])].read()
            emails = person["emails"] or [{"value": None}]
            value |= {"person_id": person["id"], "name": person["name"], "email": emails[0]["value"]}
        elif "colleague" in one:
            user = next(user for user in self.crm.fixed["users"] if user["id"] == int(one["colleague"]))
            value |= {"user_id": user["id"], "name": user["name"], "email": user["email"]}
        return value

    def change_activity(self, id: int, change: Fields, at: int) -> None:
        row = self.crm.tables["activities"].rows[id]
        fields, optional = row.read(), row.read_optional()
        if "attendees" in change:
            optional["attendees"] = change.pop("attendees")
        if unknown := set(change) - set(fields):
            raise ValueError(f"an activity has no {min(unknown)}")
        if change.get("done") and not fields["done"]:
            change.setdefault("marked_as_done_time", iso(at))
        if change.get("deal_id", fields["deal_id"]) != fields["deal_id"]:
            self.crm.links.remove("deals", fields["deal_id"], "activities", id)
            if change["deal_id"]:
                self.crm.links.add("deals", change["deal_id"], "activities", id)
        self.store("activities", row, fields | change, at, optional)

    def delete_activity(self, id: int, at: int) -> None:
        self.change_activity(id, {"is_deleted": True}, at)


def closing(status: str, at: int) -> Fields:
    """What a new status sets on a deal."""
    if status not in ("open", "won", "lost"):
        raise ValueError(f"no such status: {status}")
    won, lost = status == "won", status == "lost"
    time, on = (iso(at), local_date(at)) if won or lost else (None, None)
    return {
        "close_time": time,
        "won_time": time if won else None,
        "lost_time": time if lost else None,
        "local_won_date": on if won else None,
        "local_lost_date": on if lost else None,
        "local_close_date": on,
    }
