"""Invitations: by e-mail or as a link to copy, for seven days and one person."""

import re
import smtplib
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, User
from tests.pages import PASSWORD, log_in, world_now
from tests.world import World
from workplace import invitations
from workplace.models import Invitation

pytestmark = pytest.mark.django_db
JOIN = {"name": "Zoé Martin", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def _mail_server(settings: Any) -> None:
    settings.EMAIL_URL = "memorymail://"


@pytest.fixture
def world() -> World:
    return world_now()


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def invite(client: Client, email: str = "Zoe@Vigie.example", role: str = "manager") -> Any:
    return client.post("/settings/members/", {"email": email, "role": role}, follow=True)


def link_in_mail(n: int = -1) -> str:
    [link] = re.findall(r"http://testserver(/invitation/\S+)", mail.outbox[n].body)
    return link


def age(world: World, **back: float) -> None:
    with world.inside():
        past = timezone.now() - timedelta(**back)
        Invitation.objects.update(invited_at=past, expires_at=past + invitations.VALID)


# ---- Inviting


def test_the_link_arrives_by_email_in_the_language_of_the_organisation(world: World) -> None:
    client = log_in(world)
    assert "on its way to zoe@vigie.example" in said(invite(client))
    [message] = mail.outbox
    assert message.to == ["zoe@vigie.example"]
    assert message.subject == "Join Test on Vigie"
    assert "Ana Ruiz invites you to Test" in message.body
    world.organisation.language = "fr"
    world.organisation.save()
    invite(client, "max@vigie.example")
    assert "Ana Ruiz vous invite" in mail.outbox[1].body


def test_a_member_and_somebody_invited_are_told_beside_the_field(world: World) -> None:
    client = log_in(world)
    invite(client)
    for email, sentence in (("ANA@vigie.example", "is a member already"), ("zoe@vigie.example", "invited already")):
        answer = invite(client, email)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(
    "email", ["", "x", "a@b", "x" * 5_000 + "@vigie.example", "a@b.example\nBcc: c@d.example", "‮@é"]
)
def test_what_is_no_address_is_told_and_kept_in_the_field(world: World, email: str) -> None:
    answer = invite(log_in(world), email)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert not mail.outbox


def test_a_mail_server_that_refuses_is_told_and_the_invitation_holds(world: World, monkeypatch: Any) -> None:
    def refuse(*args: Any) -> None:
        raise smtplib.SMTPRecipientsRefused({"zoe@vigie.example": (550, b"no")})

    client = log_in(world)
    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    answer = invite(client)
    assert "did not take the e-mail to zoe@vigie.example" in said(answer)
    assert "http://testserver/invitation/" in answer.content.decode()
    with world.inside():
        assert Invitation.objects.count() == 1


def test_without_a_mail_server_the_page_says_so_and_shows_the_link(world: World, settings: Any) -> None:
    settings.EMAIL_URL = "dummymail://"
    client = log_in(world)
    answer = invite(client)
    assert "No mail server is set up" in said(answer)
    [link] = re.findall(r'value="http://testserver(/invitation/[^"]+)"', answer.content.decode())
    assert Client().get(link).status_code == 200
    assert not mail.outbox


def test_there_are_not_endlessly_many_open_invitations(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(invitations, "MOST_OPEN", 2)
    client = log_in(world)
    for n in range(3):
        answer = invite(client, f"z{n}@vigie.example")
    assert "There are 2 open invitations already" in answer.content.decode()


def test_only_admins_see_the_link(world: World) -> None:
    invite(log_in(world))
    page = log_in(world, "rep", "rita@vigie.example").get("/settings/members/").content.decode()
    assert "zoe@vigie.example" in page
    assert "/invitation/" not in page


# ---- Joining


def test_who_is_new_gives_name_and_password_and_is_in(world: World) -> None:
    invite(log_in(world))
    client = Client()
    page = client.get(link_in_mail())
    assert "Join Test" in page.content.decode()
    answer = client.post(link_in_mail(), JOIN, follow=True)
    assert answer.redirect_chain[-1][0] == "/deals/"
    assert "Welcome to Test." in said(answer)
    zoe = Membership.objects.get(user__email="zoe@vigie.example")
    assert (zoe.role, zoe.user.name) == ("manager", "Zoé Martin")
    assert zoe.user.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "Enter your name"),
        ({"name": "x" * 5_000}, "at most 200"),
        ({"name": "a\x00b"}, "Null characters"),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"password1": "password1234", "password2": "password1234"}, "too common"),
        ({"password1": "zoe@vigie.example", "password2": "zoe@vigie.example"}, "too similar"),
        ({"password2": "something else"}, "match"),
        ({"password1": "", "password2": ""}, "required"),
    ],
)
def test_a_name_or_password_that_will_not_do_is_told(world: World, change: dict[str, str], sentence: str) -> None:
    invite(log_in(world))
    answer = Client().post(link_in_mail(), JOIN | change)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not User.objects.filter(email="zoe@vigie.example").exists()


def test_who_has_an_account_logs_in_first_and_then_joins_with_it(world: World) -> None:
    other = world_now()
    log_in(other, email="zoe@vigie.example")
    zoe = User.objects.get(email="zoe@vigie.example")
    zoe.set_password(PASSWORD)
    zoe.save()
    invite(log_in(world))
    client = Client()
    page = client.get(link_in_mail()).content.decode()
    assert "has an account already" in page
    assert "password1" not in page
    client.post(link_in_mail(), JOIN)
    assert zoe.memberships.count() == 1
    answer = client.post(
        f"/login/?next={link_in_mail()}", {"username": zoe.email, "password": PASSWORD, "next": link_in_mail()}
    )
    assert answer["Location"] == link_in_mail()
    assert "Join as Ana Ruiz" in client.get(link_in_mail()).content.decode()
    client.post(link_in_mail())
    assert set(zoe.memberships.values_list("organisation", "role")) == {
        (other.organisation.pk, "admin"),
        (world.organisation.pk, "manager"),
    }
    assert client.get("/deals/").context["org"] == world.organisation


def test_who_is_logged_in_as_somebody_else_is_told_before_joining(world: World) -> None:
    invite(log_in(world))
    max_ = log_in(world_now(), email="max@vigie.example")
    page = max_.get(link_in_mail()).content.decode()
    assert "sent to zoe@vigie.example, and you are logged in as max@vigie.example" in page


def test_a_second_click_finds_who_has_joined_already_inside_and_others_outside(world: World) -> None:
    invite(log_in(world))
    client = Client()
    client.post(link_in_mail(), JOIN)
    assert client.post(link_in_mail(), JOIN)["Location"] == "/deals/"
    assert client.get(link_in_mail())["Location"] == "/deals/"
    answer = Client().post(link_in_mail(), JOIN | {"name": "Somebody else"})
    assert answer.status_code == 410
    assert "no longer valid" in answer.content.decode()
    assert Membership.objects.filter(organisation=world.organisation).count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_join_once() -> None:
    w = world_now()
    invite(log_in(w))
    statuses: list[int] = []

    def click() -> None:
        try:
            statuses.append(Client().post(link_in_mail(), JOIN).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [302, 410]
    assert User.objects.filter(email="zoe@vigie.example").count() == 1


def test_after_seven_days_the_link_is_void_until_it_is_sent_again(world: World) -> None:
    client = log_in(world)
    invite(client)
    age(world, days=6, hours=23)
    link = self_made(world)
    assert Client().get(link).status_code == 200
    age(world, days=7)
    assert Client().get(self_made(world)).status_code == 410
    page = client.get("/settings/members/").content.decode()
    assert "has run out; send it again" in page
    with world.inside():
        pk = Invitation.objects.get().pk
    client.post(f"/settings/invitations/{pk}/send/")
    assert Client().get(link_in_mail()).status_code == 200
    assert Client().get(link).status_code == 410, "what was sent before is void"


def self_made(world: World) -> str:
    with world.inside():
        return f"/invitation/{invitations.token_of(Invitation.objects.get())}/"


def test_a_withdrawn_invitation_leads_nowhere_and_leaves_no_address(world: World) -> None:
    client = log_in(world)
    invite(client)
    with world.inside():
        pk = Invitation.objects.get().pk
    answer = client.post(f"/settings/invitations/{pk}/withdraw/", follow=True)
    assert "its link leads nowhere now" in said(answer)
    assert Client().get(link_in_mail()).status_code == 410
    with world.inside():
        assert not Invitation.objects.exists()
    assert client.post(f"/settings/invitations/{pk}/send/").status_code == 404


@pytest.mark.parametrize("token", ["x", "a:b", "%00", "x" * 3_000, "‮"])
def test_a_forged_link_is_a_page(token: str) -> None:
    answer = Client().get(f"/invitation/{token}/")
    assert answer.status_code == 410
    assert "no longer valid" in answer.content.decode()


def test_a_link_is_of_one_organisation(world: World) -> None:
    """Its signature holds which one: the number of an invitation alone opens nothing elsewhere."""
    other = world_now()
    invite(log_in(world))
    with world.inside():
        invitation = Invitation.objects.get()
    invitation.organisation = other.organisation
    assert Client().get(f"/invitation/{invitations.token_of(invitation)}/").status_code == 410


def test_reps_neither_invite_nor_send_nor_withdraw(world: World) -> None:
    invite(log_in(world))
    rep = log_in(world, "rep", "rita@vigie.example")
    with world.inside():
        pk = Invitation.objects.get().pk
    assert invite(rep, "max@vigie.example").status_code == 403
    for what in ("send", "withdraw"):
        assert rep.post(f"/settings/invitations/{pk}/{what}/").status_code == 403
