"""The organisation's own mail domains: whoever has an address in one of them is a colleague.

A subdomain is a domain of its own. An international name is known by both of its spellings, as addresses are written
in either.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import DomainNameValidator
from django.db import connection
from django.utils.translation import gettext as _

from accounts.models import Membership, Organisation, User
from deals.models import Colleague, OwnDomains
from deals.people import FREE_MAIL

MOST = 100
NAMED = 3  # people inside a domain who are shown by name
_plausible = DomainNameValidator(accept_idna=False)


class Conflict(Exception):
    """The domains are not any more what the admin was shown; nothing was changed."""


@dataclass
class Domain:
    """`name` as people write it. Inside it: users of the CRM and members (`colleagues`), and people of the CRM."""

    name: str
    own: bool
    colleagues: int = 0
    people: int = 0
    named: list[str] = field(default_factory=list)


def plain(text: str) -> str:
    """A domain as the network spells it; of an address its domain. ValidationError with a sentence for the admin."""
    said = text.strip().lower().rstrip(".")
    host = re.sub(r"^(https?://|\*\.)", "", said.rpartition("@")[2])
    try:
        name = host.encode("idna").decode("ascii")
        _plausible(name)
    except (UnicodeError, ValidationError):
        raise ValidationError(_("“%(domain)s” is no mail domain.") % {"domain": text.strip()[:100]}) from None
    if name in FREE_MAIL:
        sentence = _("%(domain)s is a free mail provider: your customers have addresses there as well.")
        raise ValidationError(sentence % {"domain": name})
    return name


def written(name: str) -> str:
    """A domain as people write it."""
    try:
        return name.encode("ascii").decode("idna")
    except UnicodeError:
        return name


def own(organisation: Organisation) -> set[str]:
    """As people write them."""
    return {written(name) for name in organisation.own_domains}


def version(organisation: Organisation) -> int:
    """0 until an admin has chosen."""
    return OwnDomains.objects.filter(organisation=organisation).values_list("version", flat=True).first() or 0


def chosen(organisation: Organisation) -> OwnDomains | None:
    return OwnDomains.objects.filter(organisation=organisation).select_related("chosen_by").first()


def choose(organisation: Organisation, domains: Iterable[str], user: User, at: datetime, based_on: int) -> set[str]:
    """Say which domains are the organisation's own; returns those (in all spellings) that were not, or are no longer.

    Runs in the caller's transaction and tenant context. Raises ValidationError, Conflict; the caller has what took
    place before looked at anew.
    """
    found = {plain(domain) for domain in domains}
    if len(found) > MOST:
        raise ValidationError(_("These are more than %(most)s domains.") % {"most": MOST})
    organisation = Organisation.objects.select_for_update().get(pk=organisation.pk)
    if version(organisation) != based_on:
        raise Conflict
    before, after = set(organisation.own_domains), {*found, *map(written, found)}
    organisation.own_domains = sorted(after)
    organisation.save(update_fields=["own_domains"])
    OwnDomains.objects.update_or_create(
        organisation=organisation, defaults={"version": based_on + 1, "chosen_at": at, "chosen_by": user}
    )
    return before ^ after


def listing(organisation: Organisation, more: Collection[str] = ()) -> list[Domain]:
    """The organisation's own domains, and those that its colleagues' addresses suggest, with who is inside.

    `more`: domains that are listed as well. Free mail providers are never suggested.
    """
    found = {name: Domain(name, own=True) for name in sorted(own(organisation))}
    addresses = {*Colleague.objects.filter(organisation=organisation).values_list("email", flat=True)}
    addresses |= {
        email.lower()
        for email in Membership.objects.filter(organisation=organisation).values_list("user__email", flat=True)
    }
    suggested: dict[str, int] = {}
    for address in filter(None, addresses):
        try:
            name = written(plain(address))
        except ValidationError:
            continue
        suggested[name] = suggested.get(name, 0) + 1
    for name in [*sorted(suggested, key=lambda name: (-suggested[name], name)), *more]:
        found.setdefault(name, Domain(name, own=False)).colleagues = suggested.get(name, 0)
    for name, people, names in _inside(organisation, found):
        found[name].people += people
        found[name].named = [*found[name].named, *names][:NAMED]
    return list(found.values())


def _inside(organisation: Organisation, names: Collection[str]) -> list[tuple[str, int, list[str]]]:
    """How many people of the CRM have an address there, and the names of some."""
    spelt = {spelling: name for name in names for spelling in (name, _network(name))}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT split_part(a.address, '@', 2), count(DISTINCT p.id), "
            f"(array_agg(DISTINCT p.name ORDER BY p.name))[1:{NAMED}] FROM deals_personaddress a "
            "JOIN deals_person p ON p.organisation_id = %(org)s AND p.id = a.person_id "
            "WHERE a.organisation_id = %(org)s AND split_part(a.address, '@', 2) = ANY(%(names)s) GROUP BY 1",
            {"org": organisation.pk, "names": list(spelt)},
        )
        return [(spelt[spelling], people, named) for spelling, people, named in cursor.fetchall()]


def _network(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
