"""Which of a CRM's fields seem to hold role and job title: a guess, which an admin corrects (sync.save_fields)."""

import re
from collections.abc import Sequence

from crm_sync.providers.base import Field
from deals.upsert import role_key

# As accounts name the people of a purchase, in both languages; compared as role names are.
ROLES = {
    *("champion", "decision maker", "decideur", "decideuse", "decisionnaire", "economic buyer", "budget holder"),
    *("acheteur", "acheteuse", "acheteur economique", "buyer", "technical buyer", "sponsor", "executive sponsor"),
    *("influencer", "influenceur", "influenceuse", "prescripteur", "prescriptrice", "blocker", "bloqueur"),
    *("detracteur", "detractor", "gatekeeper", "coach", "end user", "user", "utilisateur", "utilisateur final"),
    *("legal", "legal compliance", "juridique", "evaluator", "evaluateur", "signataire", "signatory"),
}
TITLES = {"job title", "title", "job", "position", "function", "fonction", "poste", "titre", "intitule de poste"}


def guess(fields: Sequence[Field]) -> tuple[str, str]:
    """The keys of the role field and of the title field, "" for none; of equally good ones the first.

    What offers the names of roles wins over what is merely called a role.
    """
    by_role = {field: _resemblance(field) for field in fields if field.use == "role"}
    role = max(by_role, key=lambda field: by_role[field], default=None)
    # A field that people made beside the CRM's own, which is read without being chosen, is the one that they use.
    titles = [field.key for field in fields if field.use == "title" and role_key(field.label) in TITLES]
    return role.key if role and by_role[role] else "", next((key for key in titles if key != "job_title"), "")


def _resemblance(field: Field) -> int:
    called = bool(re.search(r"\broles?\b", role_key(field.label)))
    return 2 * sum(role_key(option) in ROLES for option in field.options) + called
