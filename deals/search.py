"""What the search of the deal list reads: the names of an open deal in one plain text, `Deal.search`, kept beside it.

Plain: without case and accents. It is part of the index that the list scans anyway (docs/adr/0012-the-deal-list.md).
"""

import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

from django.db.backends.utils import CursorWrapper

from deals import plans

# An index row holds 2.7 kB: a name of 5,000 characters must not drive out the others, nor many contacts break it.
LONGEST_NAME, LONGEST_TEXT = 300, 2_000  # characters, bytes

_NAMES = """
SELECT d.id, d.search, d.title, c.name, ARRAY(
    SELECT k.name FROM deals_dealcontact x
    JOIN deals_contact k ON k.organisation_id = %(org)s AND k.id = x.contact_id AND NOT k.deleted
    WHERE x.organisation_id = %(org)s AND x.deal_id = d.id ORDER BY x."primary" DESC, x.id
)
FROM deals_deal d LEFT JOIN deals_company c ON c.organisation_id = %(org)s AND c.id = d.company_id
WHERE d.organisation_id = %(org)s AND d.status = 'open' AND NOT d.archived AND NOT d.deleted AND d.id IN (
    SELECT unnest(%(deals)s::bigint[])
    UNION SELECT id FROM deals_deal WHERE organisation_id = %(org)s AND company_id = ANY(%(companies)s)
    UNION SELECT deal_id FROM deals_dealcontact WHERE organisation_id = %(org)s AND contact_id = ANY(%(contacts)s)
)
"""


def plain(text: str) -> str:
    """Without case, accents and repeated spaces: "L’Oréal " is "l'oreal"."""
    text = text.replace("\0", "")
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.replace("\u2019", "'").casefold())
        text = "".join(c for c in text if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def text_of(names: Iterable[str]) -> str:
    """The names that come first, as many as fit; each is told once."""
    plains = dict.fromkeys(plain(name[:LONGEST_NAME])[:LONGEST_NAME] for name in names if name)
    return " ".join(plains).encode()[:LONGEST_TEXT].decode(errors="ignore")


def rebuild(
    cursor: CursorWrapper,
    organisation: int,
    deals: Collection[int],
    companies: Collection[int] = (),
    contacts: Collection[int] = (),
) -> None:
    """Bring the text up to date of open deals among `deals`, or of one of the companies or contacts (all: ids).

    Runs in the caller's transaction and tenant context; two statements at most, and only what differs is written.
    """
    if not (deals or companies or contacts):
        return
    scope: dict[str, Any] = {
        "org": organisation,
        "deals": list(deals),
        "companies": list(companies),
        "contacts": list(contacts),
    }
    plans.execute_for(len(deals) + len(companies) + len(contacts), cursor, _NAMES, scope)
    changed = []
    for pk, stored, title, company, people in cursor.fetchall():
        if (text := text_of([title, company or "", *people])) != stored:
            changed.append((pk, text))
    if changed:
        ids, texts = zip(*changed, strict=True)
        cursor.execute(
            "UPDATE deals_deal d SET search = i.text FROM unnest(%s::bigint[], %s::text[]) i(id, text) "
            "WHERE d.organisation_id = %s AND d.id = i.id",
            [list(ids), list(texts), organisation],
        )
