"""A forgotten password: nobody learns who has an account, and a link works once, for a day."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Task
from django.conf import settings as own_settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import mail
from django.test import Client
from kombu.exceptions import OperationalError

from accounts import passwords, tasks
from accounts.models import User
from config.celery import app

PASSWORD, NEW = "correct horse battery", "another horse battery"
FORGOTTEN = "/login/forgotten/"


@pytest.fixture(autouse=True)
def valkey(settings: Any) -> Iterator[redis.Redis]:
    settings.EMAIL_URL = "smtp://mail.example:25"
    client = redis.Redis.from_url(own_settings.REDIS_URL)
    client.delete(app.conf.task_default_queue)
    yield client
    client.delete(app.conf.task_default_queue)
    for key in client.scan_iter("vigie:password:*"):
        client.delete(key)


@pytest.fixture
def ana(db: None) -> User:
    return User.objects.create_user("ana@vigie.example", PASSWORD, name="Ana")


def work() -> list[Any]:
    """Do what waits in the queue, as a worker does; the arguments of each task."""
    client, done = redis.Redis.from_url(own_settings.REDIS_URL), []
    while message := client.rpop(app.conf.task_default_queue):
        told = json.loads(message)
        assert told["headers"]["task"] == tasks.send_password_link.name
        arguments = json.loads(base64.b64decode(told["body"]))[0]
        tasks.send_password_link(*arguments)
        done.append(arguments)
    return done


def ask(client: Client, email: str) -> Any:
    return client.post(FORGOTTEN, {"email": email}, follow=True)


def path_in(text: str) -> str:
    found = re.search(r"https?://[^/]+(/login/new-password/\S+)", text)
    assert found, text
    return found.group(1)


def opened(client: Client, path: str) -> Any:
    return client.get(path, follow=True)


def choose(client: Client, page: Any, one: str = NEW, other: str = NEW) -> Any:
    """On the page of a link, which leads to an address without the secret."""
    address, _status = page.redirect_chain[-1]
    return client.post(address, {"new_password1": one, "new_password2": other}, follow=True)


def test_the_login_leads_to_it(client: Client, db: None) -> None:
    assert FORGOTTEN in client.get("/login/").content.decode()


def test_the_answer_is_the_same_for_everybody_and_only_members_get_a_mail(client: Client, ana: User) -> None:
    User.objects.create_user("gone@vigie.example", PASSWORD, is_active=False)
    User.objects.create_user("without@vigie.example")
    answers = {
        re.sub(rb'(?<=csrfmiddlewaretoken" value=")\w+', b"", ask(client, f"{who}@vigie.example").content)
        for who in ("ana", "gone", "without", "nobody")
    }
    assert len(answers) == 1
    assert work() == [[ana.pk, "en"], [0, "en"], [0, "en"], [0, "en"]]
    assert [message.to for message in mail.outbox] == [["ana@vigie.example"]]


@pytest.mark.parametrize("email", ["", "ana", "ana@", "x" * 250 + "@vigie.example"])
def test_what_is_no_address_is_said(client: Client, db: None, email: str) -> None:
    answer = client.post(FORGOTTEN, {"email": email})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert work() == []


def test_a_link_sets_a_password_once_ends_all_sessions_and_unlocks_the_account(ana: User) -> None:
    elsewhere, client = Client(), Client()
    elsewhere.post("/login/", {"username": ana.email, "password": PASSWORD})
    assert elsewhere.get("/login/").status_code == 302  # logged in
    for _ in range(own_settings.AXES_FAILURE_LIMIT):
        locked = client.post("/login/", {"username": ana.email, "password": "wrong wrong wrong"})
    assert locked.status_code == 429
    ask(client, " Ana@Vigie.example ")
    work()
    path = path_in(mail.outbox[0].body)
    page = opened(client, path)
    assert ana.email in page.content.decode()
    assert "Your password is changed" in choose(client, page).content.decode()
    assert elsewhere.get("/login/").status_code == 200  # logged out
    assert "no longer valid" in opened(client, path).content.decode()
    assert client.post("/login/", {"username": ana.email, "password": PASSWORD}).status_code == 200
    assert client.post("/login/", {"username": ana.email, "password": NEW}).status_code == 302


def test_a_browser_that_is_still_logged_in_may_follow_the_link(ana: User) -> None:
    client = Client()
    client.post("/login/", {"username": ana.email, "password": PASSWORD})
    ana.refresh_from_db()
    page = choose(client, opened(client, path_in(passwords.link_for(ana))))
    assert (page.status_code, "Your password is changed" in page.content.decode()) == (200, True)
    assert client.get("/login/").status_code == 200  # logged out here too


@pytest.mark.parametrize(("one", "other"), [("short", "short"), (NEW, "another"), ("password1234", "password1234")])
def test_a_password_that_will_not_do_is_told_and_changes_nothing(ana: User, one: str, other: str) -> None:
    client = Client()
    page = choose(client, opened(client, path_in(passwords.link_for(ana))), one, other)
    assert 'role="alert"' in page.content.decode()
    assert f'value="{one}"' not in page.content.decode()
    ana.refresh_from_db()
    assert ana.check_password(PASSWORD)


@pytest.mark.parametrize(("age", "valid"), [(86_399, True), (86_401, False)])
def test_a_link_is_valid_for_a_day(ana: User, monkeypatch: pytest.MonkeyPatch, age: int, valid: bool) -> None:
    path, now = path_in(passwords.link_for(ana)), PasswordResetTokenGenerator._now
    monkeypatch.setattr(PasswordResetTokenGenerator, "_now", lambda self: now(self) + timedelta(seconds=age))
    page = opened(Client(), path).content.decode()
    assert ("new_password1" in page) is valid
    assert ("no longer valid" in page) is not valid


@pytest.mark.parametrize("change", ["password", "login", "other", "token", "nobody", "nonsense"])
def test_a_link_of_before_or_of_somebody_else_is_void(ana: User, change: str) -> None:
    path = path_in(passwords.link_for(ana))
    _start, uid, token = path.rstrip("/").rsplit("/", 2)
    match change:
        case "password":
            ana.set_password(NEW)
            ana.save()
        case "login":
            Client().post("/login/", {"username": ana.email, "password": PASSWORD})
        case "other":
            other = User.objects.create_user("bob@vigie.example", PASSWORD)
            path = path.replace(uid, path_in(passwords.link_for(other)).rstrip("/").rsplit("/", 2)[1])
        case "token":
            path = path.replace(token, token[:-1] + ("a" if token[-1] != "a" else "b"))
        case "nobody":
            path = path.replace(uid, "OTk5OTk5")
        case "nonsense":
            path = path.replace(uid, "%00é")
    assert "no longer valid" in opened(Client(), path).content.decode()


def test_nobody_fills_a_mailbox(client: Client, ana: User, valkey: redis.Redis) -> None:
    for _ in range(3):
        ask(client, ana.email)
    work()
    assert len(mail.outbox) == 1
    assert 0 < valkey.ttl(f"vigie:password:{ana.pk}") <= passwords.EVERY


def test_a_mail_that_could_not_be_sent_may_be_asked_for_again(ana: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # nobody listens
    assert passwords.send_link(ana.pk, "en") is False
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert passwords.send_link(ana.pk, "en") is True


@pytest.mark.parametrize(
    ("own", "page", "word"), [("", "fr", "Quelqu"), ("en", "fr", "Somebody"), ("fr", "en", "Quelqu")]
)
def test_the_mail_is_in_the_language_of_the_person_else_of_the_page(ana: User, own: str, page: str, word: str) -> None:
    User.objects.filter(pk=ana.pk).update(language=own)
    assert passwords.send_link(ana.pk, page)
    assert mail.outbox[0].body.startswith(word)
    assert mail.outbox[0].body.count(own_settings.SITE_URL) == 1


def test_without_a_mail_server_the_page_says_who_can_help(client: Client, ana: User, settings: Any) -> None:
    settings.EMAIL_URL = "dummymail://"
    page = ask(client, ana.email).content.decode()
    assert "No mail server" in page
    assert work() == []


def test_when_the_queue_is_away_the_page_says_so(client: Client, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise OperationalError("Error 111 connecting to 127.0.0.1")  # what Celery raises then

    monkeypatch.setattr(Task, "apply_async", refuse)
    answer = client.post(FORGOTTEN, {"email": ana.email})
    assert answer.status_code == 422
    assert "cannot be sent right now" in answer.content.decode()
