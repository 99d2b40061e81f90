"""Pipedrive's mail messages (v1), as /deals/{id}/mailMessages gives them."""

from dataclasses import dataclass
from typing import Literal

from crm_sandbox.clock import iso_ms
from crm_sandbox.store import Fields, Row

FIRST_MESSAGE = 3_000_001
COMPANY = 13_204_711
Role = Literal["from", "to", "cc", "bcc"]


@dataclass(frozen=True, slots=True)
class Party:
    """`person`: whom the CRM links with the address, if anybody."""

    address: str
    name: str
    person: int | None = None


def message(
    id: int, at: int, logged: int, user: int, subject: str, parties: dict[Role, list[Party]], *, draft: bool = False
) -> Row:
    """`at`: when it was sent; `logged`: when the CRM learnt of it. Epoch seconds."""
    sender = (parties.get("from") or [Party("", "")])[0]
    own = sender.person is None
    fields: Fields = {"id": id}
    for role in ("from", "to", "cc", "bcc"):
        fields[role] = [party(id * 10 + n, one) for n, one in enumerate(parties.get(role, ()))]
    fields |= {
        "body_url": f"https://mail.pipedrive.example/{id}",
        "nylas_id": f"8cfw8n7l4iy24{id}",
        "account_id": f"ao5gpry0zykr1{user}",
        "user_id": user,
        "mail_thread_id": id // 2,
        "subject": subject,
        "snippet": subject[:100],
        "mail_tracking_status": "opened" if own else None,
        "mail_link_tracking_enabled_flag": 0,
        "read_flag": 1,
        "draft": "",
        "s3_bucket": "pipedrive-mail-live-eu",
        "s3_bucket_path": f"e9cf-{COMPANY}/{user}/nylas/{id}/body",
        "draft_flag": int(draft),
        "synced_flag": 1,
        "deleted_flag": 0,
        "external_deleted_flag": False,
        "has_body_flag": 1,
        "sent_flag": int(own and not draft),
        "sent_from_pipedrive_flag": 0,
        "smart_bcc_flag": 0,
        "message_time": iso_ms(at * 1000),
        "add_time": iso_ms(logged * 1000),
        "update_time": iso_ms(logged * 1000),
        "has_attachments_flag": 0,
        "has_inline_attachments_flag": 0,
        "has_real_attachments_flag": 0,
        "mua_message_id": f"{id}-0@mailer.pipedrive.example",
        "template_id": None,
        "item_type": "mailMessage",
        "timestamp": iso_ms(logged * 1000),
        "company_id": COMPANY,
    }
    return Row(id, logged, fields)


def party(id: int, one: Party) -> Fields:
    return {
        "id": id,
        "email_address": one.address,
        "name": one.name,
        "linked_person_id": one.person,
        "linked_person_name": one.name if one.person else "",
        "mail_message_party_id": id,
    }
