"""The e-mail before the working day: what became of the alerts that are a member's business since the last one.

It tells of the time up to seven in the morning, in the member's zone; the next one begins there, so that nothing is
told twice or left out.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import Count, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Membership, Organisation
from accounts.tenancy import tenant
from alerts import formats, wording
from alerts.evidence import names_for
from alerts.facts import Case
from alerts.models import Alert
from alerts.rules import BY_KIND, RULES
from alerts.settings import open_deals
from deals.calendar import working_days
from deals.clock import Clock
from deals.models import Deal, TeamMember
from deals.owners import colleagues_of
from workplace.members import teams_of

HOUR = 7
LATEST = 12  # after a failure it is tried again until noon; the next morning's tells all the same
SHOWN = 20
CRITICAL = [rule.kind for rule in RULES if rule.critical]


@dataclass(frozen=True)
class Line:
    """A deal with its new alerts (title, sentence, whether critical) and its resolved ones (title, reason)."""

    deal: Deal
    url: str
    fresh: list[tuple[str, str, bool]]
    gone: list[tuple[str, str]]


@dataclass(frozen=True)
class Digest:
    """`fresh` and `gone`: how many alerts in all; `more`: deals that are not among the lines."""

    lines: list[Line]
    fresh: int
    gone: int
    more: int
    since: datetime


def due(membership: Membership, now: datetime) -> datetime | None:
    """Seven o'clock of this morning, in UTC terms of the member's zone, when a digest is to be sent now."""
    local = now.astimezone(membership.user.zone_in(membership.organisation))
    morning = local.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    told = membership.digest_until is not None and membership.digest_until >= morning
    if told or not HOUR <= local.hour < LATEST or not membership.user.is_active:
        return None
    match membership.digest:
        case Membership.Digest.DAILY if is_working_day(local.date(), membership.organisation.country):
            return morning
        case Membership.Digest.WEEKLY if local.weekday() == 0:
            return morning
    return None


def is_working_day(day: date, country: str) -> bool:
    days = working_days(country, day.year)
    place = bisect_left(days, day)
    return place < len(days) and days[place] == day


def digest_of(membership: Membership, until: datetime) -> Digest | None:
    """What there is to tell; None when it is nothing. Ten statements at most."""
    organisation, weekly = membership.organisation, membership.digest == Membership.Digest.WEEKLY
    since = membership.digest_until or until - timedelta(days=7 if weekly else 1)
    changes = _changes(membership, since, until)
    numbers = changes.aggregate(
        deals=Count("deal", distinct=True),
        fresh=Count("pk", Q(resolved_at=None)),
        gone=Count("pk", ~Q(resolved_at=None)),
    )
    if not numbers["deals"]:
        return None
    chosen = (
        changes.order_by()
        .values("deal")
        .annotate(
            critical=Count("pk", Q(resolved_at=None, kind__in=CRITICAL)),
            fresh=Count("pk", Q(resolved_at=None)),
        )
        .order_by("-critical", "-fresh", "deal")
        .values_list("deal", flat=True)[:SHOWN]
    )
    lines = _lines(organisation, changes, list(chosen), until)
    return Digest(lines, numbers["fresh"], numbers["gone"], numbers["deals"] - len(lines), since)


def _changes(membership: Membership, since: datetime, until: datetime) -> Any:
    """Alerts that are new and still open, and those resolved that were there before."""
    organisation = membership.organisation
    new = Q(resolved_at=None, opened_at__gt=since, opened_at__lte=until, deal__in=open_deals(organisation).values("pk"))
    resolved = Q(resolved_at__gt=since, resolved_at__lte=until, opened_at__lte=since)
    changes = Alert.objects.filter(new | resolved, organisation=organisation).awake()
    owners: Any = colleagues_of(membership.user, organisation).values("pk")
    if membership.role != Membership.Role.REP:
        teams = list(teams_of(membership.user, organisation).values_list("pk", flat=True))
        if not teams:
            return changes
        owners = TeamMember.objects.filter(organisation=organisation, team__in=teams).values("colleague")
    return changes.filter(deal__owner__in=owners)


def _lines(organisation: Organisation, changes: Any, chosen: list[int], until: datetime) -> list[Line]:
    clock = Clock.of(organisation, until)
    deals = {deal.pk: deal for deal in organisation.deals.filter(pk__in=chosen).for_list()}
    order = {rule.kind: (not rule.critical, n) for n, rule in enumerate(RULES)}
    alerts = sorted(changes.filter(deal__in=chosen), key=lambda alert: (order[alert.kind], alert.subject))
    cases = [(alert, Case.of(alert, deals[alert.deal_id])) for alert in alerts]
    names = names_for(organisation, [case for _alert, case in cases], clock)
    lines = {pk: Line(deals[pk], f"{settings.SITE_URL}{reverse('alerts:deal', args=[pk])}", [], []) for pk in chosen}
    for alert, case in cases:
        title = wording.title(alert.kind, alert.subject, names)
        if alert.resolved_at is None:
            sentence = wording.sentence(case, names, clock)
            lines[alert.deal_id].fresh.append((title, sentence, BY_KIND[alert.kind].critical))
        else:
            lines[alert.deal_id].gone.append((title, alert.get_reason_display()))
    return list(lines.values())


def send(organisation: Organisation, membership_id: int, now: datetime) -> bool:
    """Send one member's digest if it is due; whether a mail went out. Raises what the mail server does, and then the
    digest is still due.

    The row is locked from the question to the commit: of two workers one goes on.
    """
    with tenant(organisation):
        mine = organisation.memberships.exclude(digest=Membership.Digest.NEVER).select_related("user")
        membership = mine.select_for_update(of=("self",), skip_locked=True).filter(pk=membership_id).first()
        until = membership and due(membership, now)
        if not membership or not until:
            return False
        with translation.override(membership.user.language or organisation.language):
            digest = digest_of(membership, until)
            membership.digest_until = until
            membership.save(update_fields=["digest_until"])
            if digest:
                message_for(membership, digest).send()
        return digest is not None


def message_for(membership: Membership, digest: Digest) -> EmailMultiAlternatives:
    """In the language that is active."""
    organisation = membership.organisation
    zone = membership.user.zone_in(organisation)
    profile = f"{settings.SITE_URL}{reverse('workplace:profile')}"
    numbers = [_new(digest.fresh)] if digest.fresh else []
    numbers += [_resolved(digest.gone)] if digest.gone else []
    context = {
        "digest": digest,
        "clock": Clock.of(organisation, digest.since),
        "organisation": organisation,
        "numbers": formats.join(numbers),
        "since": formats.moment(digest.since, zone),
        "more": _more(digest.more) if digest.more else "",
        "all": f"{settings.SITE_URL}{reverse('alerts:deals')}?view=risk",
        "profile": f"{profile}#digest",
        "name": membership.user.name,
    }
    message = EmailMultiAlternatives(
        _("Vigie: %(numbers)s") % {"numbers": context["numbers"]},
        render_to_string("workplace/digest.txt", context),
        to=[membership.user.email],
        headers={"List-Unsubscribe": f"<{profile}>", "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string("workplace/digest.html", context), "text/html")
    return message


def _new(count: int) -> str:
    return ngettext("%(count)s new alert", "%(count)s new alerts", count) % {"count": formats.number(count)}


def _resolved(count: int) -> str:
    return ngettext("%(count)s resolved", "%(count)s resolved", count) % {"count": formats.number(count)}


def _more(count: int) -> str:
    said = ngettext("and %(count)s more deal", "and %(count)s more deals", count)
    return said % {"count": formats.number(count)}
