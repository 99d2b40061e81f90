"""What the pages say about CRMs: streams, states, problems and what to do about them."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts import formats
from crm_sync.providers import PROVIDERS


def label(provider: str) -> str:
    return PROVIDERS[provider].label if provider in PROVIDERS else provider


def stream(name: str) -> str:
    return {
        "users": _("Users"),
        "owners": _("Owners"),
        "pipelines": _("Pipelines"),
        "stages": _("Stages"),
        "roles": _("Contact roles"),
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


def problem(code: str, provider: str, detail: str = "") -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    crm = label(provider)
    sentences = {
        "token_refused": (
            _("%(crm)s does not accept the token."),
            _("It may have been mistyped, regenerated or revoked. Copy it again from %(crm)s and connect once more."),
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
        "disconnected": (_("This run was stopped because the connection was cut."), ""),
    }
    unknown = (_("Reading %(crm)s failed."), _("Vigie keeps trying. What was read so far stays."))
    what, todo = sentences.get(code, unknown)
    values = {"crm": crm, "detail": detail or crm}
    return what % values, todo % values


def records(count: int) -> str:
    return ngettext("%(count)s record", "%(count)s records", count) % {"count": formats.number(count)}
