"""What the pages say about CRMs: streams, states, problems and what to do about them."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts import formats
from crm_sync.providers import PROVIDERS
from crm_sync.providers.base import CrmError
from deals.records import Detail


def label(provider: str) -> str:
    return PROVIDERS[provider].label if provider in PROVIDERS else provider


def stream(name: str) -> str:
    return {
        "users": _("Users"),
        "owners": _("Owners"),
        "pipelines": _("Pipelines"),
        "stages": _("Stages"),
        "roles": _("Contact roles"),
        "activity_types": _("Activity types"),
        "organizations": _("Companies"),
        "companies": _("Companies"),
        "persons": _("People"),
        "contacts": _("People"),
        "deals": _("Deals"),
        "archived_deals": _("Archived deals"),
        "archived": _("Archived records"),
        "activities": _("Activities"),
        "calls": _("Calls"),
        "emails": _("E-mails"),
        "meetings": _("Meetings"),
        "communications": _("Messages"),
    }.get(name, name)


def detail(what: Detail) -> str:
    """What is read of single deals."""
    names = {"history": _("Histories"), "participants": _("Participants"), "mail": _("E-mails on deals")}
    return names[what]


def detail_left_out(what: Detail, provider: str) -> str:
    scope = "crm.objects.deals.read"
    if provider == "pipedrive":
        scope = {"history": "recents:read", "participants": "deals:read", "mail": "mail:read"}[what]
    return _(
        "The access does not allow it (%(scope)s). Alerts are judged without. Connect again with it to have it read."
    ) % {"scope": scope}


def detail_paused(code: str, provider: str) -> str:
    if code in ("daily_limit", "daily_reserve"):
        return _(
            "Paused: half of the day's requests of %(crm)s is kept for what changes. It goes on by itself when the "
            "budget, which all your tools share, is renewed."
        ) % {"crm": label(provider)}
    return " ".join(problem(code, provider))


def deals_left(count: int) -> str:
    return ngettext("%(count)s deal to go.", "%(count)s deals to go.", count) % {"count": formats.number(count)}


def problem(code: str, provider: str, detail: str = "") -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    crm = label(provider)
    sentences = {
        "token_refused": (
            _("%(crm)s does not accept the token."),
            _("It may have been mistyped, regenerated or revoked. Copy it again from %(crm)s and connect once more."),
        ),
        "access_withdrawn": (
            _("%(crm)s no longer lets Vigie in."),
            _(
                "The app may have been uninstalled there, or its access withdrawn. Connect again: everything that was "
                "read is found again."
            ),
        ),
        "uninstalled": (
            _("The app was uninstalled in %(crm)s."),
            _("Nothing more is read. Connect again if that was a mistake: everything that was read is found again."),
        ),
        "app_refused": (
            _("%(crm)s does not know this server's app."),
            _("Its client id or secret is wrong or was changed. Tell whoever runs this server."),
        ),
        "being_deleted": (
            _("The data of this account are being deleted."),
            _("Connect once more when that has ended, in a few minutes."),
        ),
        "missing_permission": (
            _("The token may not read everything that is needed (%(detail)s)."),
            _("Give it read access in %(crm)s, or use the token of a user who has it, then connect once more."),
        ),
        "rate_limited": (
            _("%(crm)s asks for a pause: too many requests in a short time."),
            _("Nothing to do. Reading goes on by itself where it stopped."),
        ),
        "daily_limit": (
            _("The daily budget of requests of %(crm)s is spent."),
            _("Nothing to do. Reading goes on by itself when the budget, which all your tools share, is renewed."),
        ),
        "daily_reserve": (
            _("The daily budget of requests of %(crm)s is nearly spent; the rest is kept for changes that it reports."),
            _("Nothing to do. Reading goes on by itself when the budget, which all your tools share, is renewed."),
        ),
        "crm_down": (
            _("%(crm)s does not answer."),
            _("Nothing to do. Vigie keeps trying and goes on where it stopped. What was read so far stays."),
        ),
        "unexpected_answer": (
            _("%(crm)s gave an answer that Vigie does not understand."),
            _("Vigie keeps trying. If it lasts for more than an hour, tell whoever runs this server."),
        ),
        "token_unreadable": (
            _("The stored token can no longer be decrypted."),
            _("The server's keys have changed. Connect once more with the token from %(crm)s."),
        ),
        "mass_delete": (
            _("%(crm)s does not list %(detail)s that it had. Vigie has deleted none of them."),
            _("An admin decides on the CRM connection page: they are gone, or compare again."),
        ),
        "disconnected": (_("This run was stopped because the connection was cut."), ""),
    }
    unknown = (_("Reading %(crm)s failed."), _("Vigie keeps trying. What was read so far stays."))
    what, todo = sentences.get(code, unknown)
    values = {"crm": crm, "detail": detail or crm}
    return what % values, todo % values


def sign_in(error: CrmError, provider: str) -> tuple[str, str]:
    """Why a sign-in at the CRM came to nothing, and what to do: somebody is there who can begin once more."""
    again = _("Nothing was changed. Please begin once more.")
    detail = ", ".join(getattr(error, "scopes", ())) or getattr(error, "what", "")
    if error.code == "code_refused":
        return _("%(crm)s does not accept this sign-in: it was used already, or took too long.") % {
            "crm": label(provider)
        }, again
    what, todo = problem(error.code, provider, detail)
    if error.code in ("crm_down", "rate_limited", "daily_limit", "daily_reserve", "unexpected_answer"):
        return what, _("Nothing was changed. Please begin once more in a few minutes.")
    return what, todo


def scope(name: str) -> str:
    """What a permission of a CRM is needed for."""
    return {
        "base": _("to recognise the account"),
        "deals:read": _("to read deals, pipelines and stages"),
        "contacts:read": _("to read people and companies"),
        "activities:read": _("to read activities"),
        "users:read": _("to know who owns a deal"),
        "admin": _("to be told of changes at once"),
        "oauth": _("to recognise the account"),
        "crm.objects.deals.read": _("to read deals"),
        "crm.objects.contacts.read": _("to read people, calls and meetings"),
        "crm.objects.companies.read": _("to read companies"),
        "crm.objects.owners.read": _("to know who owns a deal"),
        "crm.schemas.deals.read": _("to read pipelines, stages and roles"),
        "sales-email-read": _("to read e-mails"),
    }.get(name, name)


def told(provider: str, polled: str) -> str:
    """How changes arrive: by webhook, or why not (`WebhookFeed.polled`)."""
    values = {"crm": label(provider)}
    reasons = {
        "": _("%(crm)s tells changes within seconds. Every five minutes Vigie looks for anything that was missed."),
        "address": _(
            "What changes in the CRM is read every five minutes: %(crm)s cannot tell it, as this server has no public "
            "https address (SITE_URL)."
        ),
        "permission": _(
            "What changes in the CRM is read every five minutes: the access does not allow Vigie to register webhooks "
            "at %(crm)s, which takes an administrator there."
        ),
        "token": _(
            "What changes in the CRM is read every five minutes: %(crm)s tells it only to an app. Sign in at %(crm)s "
            "instead of using a token to be told within seconds."
        ),
        "refused": _("What changes in the CRM is read every five minutes: %(crm)s refused to register webhooks."),
    }
    return reasons.get(polled, _("What changes in the CRM is read every five minutes.")) % values


def parked(count: int) -> str:
    return ngettext(
        "%(count)s change that the CRM told could not be read, five times over. The nightly comparison covers it.",
        "%(count)s changes that the CRM told could not be read, five times over. The nightly comparison covers them.",
        count,
    ) % {"count": formats.number(count)}


def records(count: int) -> str:
    return ngettext("%(count)s record", "%(count)s records", count) % {"count": formats.number(count)}
