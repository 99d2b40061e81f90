"""What the activities of a Pipedrive type are: by the key, for the types that every account has (docs/rules.md).

An account's own types count only when an admin says so (crm_sync.activity_types); what their names make them look like
is suggested. Nothing is guessed from the subject of an activity.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from crm_sync.providers.base import TypeOfActivity
from crm_sync.providers.values import text
from deals.records import Kind

# By key_string. An `email`, `task` or `deadline` activity is a thing to do.
KINDS: dict[str, Kind] = {"call": "call", "meeting": "meeting", "lunch": "meeting"}
OWN = {*KINDS, "task", "deadline", "email"}  # the keys that every new account has

# Words of a name, without case and accents, as teams call types of their own. The first kind that is named wins: a
# video call is a meeting, as people see each other and others join.
WORDS: dict[Kind, str] = {
    "meeting": r"meetings?|lunch|breakfast|dinner|coffee|visio\w*|video ?(call|conference)s?|appel video|zoom|teams"
    r"|demos?|demonstrations?|workshops?|webinars?|visits?|rdv|rendez ?vous|reunions?|visites?|ateliers?|dejeuners?"
    r"|entretiens?|rencontres?|webinaires?",
    "call": r"calls?|phone( ?calls?)?|telephone|appels?|coup de fil|coup de telephone|tel",
    "message": r"messages?|sms|texto|whatsapp|wechat|inmail|text message",
}
# What is to be done before or after, or did not take place.
NOT = re.compile(
    r"\b(unanswered|unreached|unsuccessful|no|not|non|sans|missed|manque\w*|absent\w*|voice ?mail|messagerie|repondeur"
    r"|cancel\w*|annul\w*|prepar\w*|plan\w*|schedul\w*|book\w*|organis\w*|prise|prendre|caler|fixer|relan\w*"
    r"|follow ?up|remind\w*|rappel\w*|send|envo\w*|repl\w*|repon\w*|writ\w*|ecri\w*|redig\w*|notes?|minutes"
    r"|report|compte ?rendu|cr|todo|to do|a faire|tasks?|taches?|invit\w*|confirm\w*|e ?mails?|mails?|courriels?"
    r"|offres?|tenders?)\b"
)


def read(records: Sequence[Mapping[str, Any]]) -> tuple[TypeOfActivity, ...]:
    """GET /v1/activityTypes; a record without a key is none."""
    found = {}
    for record in records:
        if key := text(record.get("key_string"), 100):
            name = text(record.get("name"), 200) or key
            found[key] = TypeOfActivity(key, name, record.get("active_flag") is True)
    return tuple(found.values())


def suggested(key: str, name: str) -> Kind | Literal[""]:
    """What a type of the account's own looks like; "" when its name does not say that its activities are exchanges."""
    if key in OWN:  # these may be renamed, but what the CRM's own calls and mails do with them stays
        return ""
    plain = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name)).casefold()
    words = re.sub(r"[^a-z0-9]+", " ", plain)
    if NOT.search(words):
        return ""
    return next((kind for kind, pattern in WORDS.items() if re.search(rf"\b({pattern})\b", words)), "")
