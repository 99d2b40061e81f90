"""Settings → Members: who is here, who they are in the CRM, their teams, and invitations. Others than admins read."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Prefetch
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST

from accounts import mail
from accounts.forms import InviteForm, JoinForm
from accounts.models import Membership, Organisation, User
from accounts.params import whole
from accounts.tenancy import tenant
from accounts.views import MemberRequest, admin_required_to_post
from alerts import queue
from alerts.tasks import evaluate_changed
from deals import teams
from deals.models import Team, TeamMember
from workplace import invitations
from workplace.members import link, members_of, owners_of, remove, set_role
from workplace.models import Invitation

OWNERS_SHOWN = 100


# ---- Members and invitations


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def members_page(request: MemberRequest) -> HttpResponse:
    """POST invites."""
    if request.method != "POST":
        return _members(request, InviteForm(initial={"email": request.GET.get("email", "")[:254]}))
    form = InviteForm(request.POST)
    if form.is_valid():
        try:
            sent = invitations.invite(
                request.org, form.cleaned_data["email"], form.cleaned_data["role"], request.user, timezone.now()
            )
        except ValidationError as error:
            form.add_error("email", error)
        else:
            _send(request, sent)
            return redirect("workplace:members")
    return _members(request, form, status=422)


def _members(request: MemberRequest, form: InviteForm, status: int = 200) -> HttpResponse:
    now = timezone.now()
    open_ones = request.org.invitations.filter(accepted_at=None).select_related("invited_by").order_by("-invited_at")
    context = {
        "section": "members",
        "tab": "members",
        "members": members_of(request.org),
        "invitations": [(each, each.expires_at <= now, _link(request, each)) for each in open_ones],
        "form": form,
        "roles": Membership.Role.choices,
        "can_send": mail.can_send(),
        "now": now,
    }
    return render(request, "workplace/members.html", context, status=status)


@require_POST
@admin_required_to_post
def member_role(request: MemberRequest, pk: int) -> HttpResponse:
    try:
        member = set_role(request.org, request.membership, pk, request.POST.get("role", ""))
    except ValidationError as error:
        return _refused(request, error, "workplace:members")
    said = _("%(name)s has the role %(role)s now.") % {"name": str(member.user), "role": member.get_role_display()}
    return _saved(request, said, "workplace:members")


@require_POST
@admin_required_to_post
def member_remove(request: MemberRequest, pk: int) -> HttpResponse:
    try:
        member = remove(request.org, request.membership, pk)
    except ValidationError as error:
        return _refused(request, error, "workplace:members")
    if member.user_id == request.user.pk:
        return redirect("alerts:deals")  # of another organisation, or to the page that says that there is none
    return _saved(request, _("%(name)s is no longer a member.") % {"name": str(member.user)}, "workplace:members")


@require_POST
@admin_required_to_post
def invitation_send(request: MemberRequest, pk: int) -> HttpResponse:
    """Again, for another seven days."""
    open_ones = request.org.invitations.filter(accepted_at=None).select_for_update()
    invitation = get_object_or_404(open_ones, pk=pk)
    invitations.renew(invitation, request.user, timezone.now())
    _send(request, invitation)
    return redirect("workplace:members")


@require_POST
@admin_required_to_post
def invitation_withdraw(request: MemberRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(request.org.invitations.filter(accepted_at=None).select_for_update(), pk=pk)
    invitation.delete()
    said = _("The invitation of %(email)s is withdrawn; its link leads nowhere now.") % {"email": invitation.email}
    return _saved(request, said, "workplace:members")


def _link(request: HttpRequest, invitation: Invitation) -> str:
    return request.build_absolute_uri(reverse("workplace:invitation", args=[invitations.token_of(invitation)]))


def _send(request: MemberRequest, invitation: Invitation) -> None:
    """Send it and say how that went; the invitation holds in any case."""
    email = {"email": invitation.email}
    if not mail.can_send():
        said = _("%(email)s is invited. No mail server is set up: copy the link below and send it yourself.")
        messages.warning(request, said % email)
    elif invitations.send(invitation, _link(request, invitation)):
        messages.success(request, _("The invitation is on its way to %(email)s.") % email)
    else:
        said = _("The mail server did not take the e-mail to %(email)s. Send it again, or copy the link below.")
        messages.error(request, said % email)


def _refused(request: MemberRequest, error: ValidationError, page: str) -> HttpResponse:
    messages.error(request, " ".join(error.messages))
    return redirect(page)


def _saved(request: MemberRequest, said: str, page: str) -> HttpResponse:
    messages.success(request, said)
    return redirect(page)


# ---- Joining


@login_not_required
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_page(request: HttpRequest, token: str) -> HttpResponse:
    """Where the link of an invitation leads: join with the account that is logged in, or make one."""
    try:
        organisation = Organisation.objects.get(pk=invitations.organisation_of(token))
    except (invitations.NoInvitation, Organisation.DoesNotExist):
        return _no_invitation(request)
    with tenant(organisation):
        try:
            invitation = invitations.find(organisation, token, timezone.now(), lock=request.method == "POST")
        except invitations.NoInvitation:
            mine = request.user.is_authenticated and organisation.memberships.filter(user=request.user).exists()
            return _enter(request, organisation) if mine else _no_invitation(request)
        return _join(request, organisation, invitation)


def _join(request: HttpRequest, organisation: Organisation, invitation: Invitation) -> HttpResponse:
    known = User.objects.filter(email__iexact=invitation.email).exists()
    to_login = f"{reverse('accounts:login')}?{urlencode({'next': request.path})}"
    context: dict[str, Any] = {"organisation": organisation, "invitation": invitation, "to_login": to_login}
    if isinstance(user := request.user, User) and user.is_authenticated:
        if request.method != "POST":
            return render(request, "workplace/invitation.html", context | {"other": user.email != invitation.email})
    elif known:
        return render(request, "workplace/invitation.html", context | {"known": True})
    else:
        form = JoinForm(invitation.email, request.POST if request.method == "POST" else None)
        try:
            with transaction.atomic():
                if not form.is_valid():
                    status = 422 if form.is_bound else 200
                    return render(request, "workplace/invitation.html", context | {"form": form}, status=status)
                user = form.save()
        except IntegrityError:  # they have joined another organisation in this very moment
            return redirect(to_login)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    invitations.accept(invitation, user, timezone.now())
    said = _("Welcome to %(organisation)s.") % {"organisation": organisation.name}
    messages.success(request, said)
    return _enter(request, organisation)


def _enter(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    request.session["organisation"] = organisation.pk
    return redirect("alerts:deals")


def _no_invitation(request: HttpRequest) -> HttpResponse:
    return render(request, "workplace/invitation.html", {"void": True}, status=410)


# ---- Who is who in the CRM


@require_http_methods(["GET", "HEAD"])
@admin_required_to_post
@gzip_page
def owners_page(request: MemberRequest) -> HttpResponse:
    """`?change=` a CRM user opens the choice of its member; `?all` shows more than the first hundred."""
    found = owners_of(request.org)
    memberships = request.org.memberships.select_related("user").order_by(Lower("user__name"), "user__email")
    context = {
        "section": "members",
        "tab": "owners",
        "owners": found if "all" in request.GET or "change" in request.GET else found[:OWNERS_SHOWN],
        "more": len(found),
        "shown": OWNERS_SHOWN,
        "unknown": sum(not owner.member and not owner.corrected for owner in found),
        "change": whole(request.GET.get("change", "")) if request.membership.is_admin else None,
        "people": [m.user for m in memberships],
        "invited": set(request.org.invitations.filter(accepted_at=None).values_list("email", flat=True)),
    }
    return render(request, "workplace/members_owners.html", context)


@require_POST
@admin_required_to_post
def owner_link(request: MemberRequest, pk: int) -> HttpResponse:
    colleague = get_object_or_404(request.org.colleagues, pk=pk)
    try:
        member = link(request.org, colleague, request.POST.get("member", ""))
    except ValidationError as error:
        return _refused(request, error, "workplace:owners")
    names = {"owner": colleague.name, "member": str(member.user) if member else ""}
    said = _("%(owner)s is %(member)s.") if member else _("%(owner)s is none of the members.")
    return _saved(request, said % names, "workplace:owners")


# ---- Teams


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required_to_post
@gzip_page
def teams_page(request: MemberRequest) -> HttpResponse:
    """POST makes a team; `?team=` opens one for changes."""
    if request.method != "POST":
        return _teams(request, whole(request.GET.get("team", "")))
    try:
        with transaction.atomic():
            team = teams.create(request.org, request.POST.get("name", ""))
    except ValidationError as error:
        return _teams(request, None, error.messages, request.POST.get("name", ""), status=422)
    return redirect(f"{reverse('workplace:teams')}?team={team.pk}#team-{team.pk}")


@require_POST
@admin_required_to_post
def team_save(request: MemberRequest, pk: int) -> HttpResponse:
    """The name and all members of one of the organisation's own teams."""
    team = get_object_or_404(request.org.teams.filter(stale=False), pk=pk)
    ids = {number for text in request.POST.getlist("colleague") if (number := whole(text)) is not None}
    try:
        with transaction.atomic():
            team = teams.rename(team, request.POST.get("name", ""))
            _judge_again(request.org, teams.set_members(team, ids))
    except ValidationError as error:
        return _teams(request, pk, error.messages, request.POST.get("name", ""), ids, status=422)
    return _saved(request, _("The team %(name)s is saved.") % {"name": team.name}, "workplace:teams")


@require_POST
@admin_required_to_post
def team_delete(request: MemberRequest, pk: int) -> HttpResponse:
    team = get_object_or_404(request.org.teams.filter(stale=False), pk=pk)
    try:
        _judge_again(request.org, teams.delete(team))
    except ValidationError as error:
        return _refused(request, error, "workplace:teams")
    return _saved(request, _("The team %(name)s is deleted.") % {"name": team.name}, "workplace:teams")


def _judge_again(organisation: Organisation, deals: set[int]) -> None:
    """Other settings may count for these deals now."""
    queue.mark(organisation, deals)
    if deals:
        evaluate_changed.delay_on_commit(organisation.pk)  # type: ignore[attr-defined]


def _teams(
    request: MemberRequest,
    opened: int | None,
    wrong: Sequence[str] = (),
    name: str = "",
    chosen: set[int] | None = None,
    status: int = 200,
) -> HttpResponse:
    members = TeamMember.objects.filter(organisation=request.org).select_related("colleague")
    ordered = members.order_by(Lower("colleague__name"), "colleague_id")
    found: list[Team] = list(
        request.org.teams.filter(stale=False)
        .prefetch_related(Prefetch("members", ordered))
        .order_by(Lower("name"), "pk")
    )
    team = next((t for t in found if t.pk == opened and not t.source_id), None) if request.membership.is_admin else None
    if team and chosen is None:
        chosen = {member.colleague_id for member in team.members.all()}
    colleagues = request.org.colleagues.order_by("-active", Lower("name"), "pk") if team else []
    context = {
        "section": "members",
        "tab": "teams",
        "teams": found,
        "opened": team,
        "options": [(c, c.pk in (chosen or ())) for c in colleagues if c.active or c.pk in (chosen or ())],
        "wrong": wrong,
        "name": name or (team.name if team else ""),
    }
    return render(request, "workplace/members_teams.html", context, status=status)
