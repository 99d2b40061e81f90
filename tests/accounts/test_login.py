"""Logging in by e-mail, and what is seen without a login or an organisation."""

import pytest
from django.test import Client

from accounts.models import User
from tests.pages import PASSWORD, log_in, world_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana@vigie.example", PASSWORD, name="Ana Ruiz")


def test_login_by_email_in_any_case_leads_to_the_first_page(client: Client, ana: User) -> None:
    answer = client.post("/login/", {"username": "Ana@Vigie.example", "password": PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"] == "/"


def test_a_wrong_password_and_an_unknown_address_get_the_same_words(client: Client, ana: User) -> None:
    wrong = client.post("/login/", {"username": "ana@vigie.example", "password": "wrong wrong wrong"})
    unknown = client.post("/login/", {"username": "bob@vigie.example", "password": "wrong wrong wrong"})
    for answer in (wrong, unknown):
        assert "do not match" in answer.content.decode()
        assert "wrong wrong wrong" not in answer.content.decode()


def test_a_locked_account_locks_no_other_from_the_same_address(client: Client, ana: User) -> None:
    for _attempt in range(5):
        client.post("/login/", {"username": "bob@vigie.example", "password": "wrong wrong wrong"})
    assert client.post("/login/", {"username": "ana@vigie.example", "password": PASSWORD}).status_code == 302


def test_five_wrong_passwords_lock_the_account_and_say_for_how_long(client: Client, ana: User) -> None:
    for spelling in (
        "ana@vigie.example",
        "Ana@vigie.example",
        "ANA@vigie.example",
        "ana@Vigie.example",
        "ana@vigie.Example",
    ):
        answer = client.post("/login/", {"username": spelling, "password": "wrong wrong wrong"})
    assert answer.status_code == 429
    assert "quarter of an hour" in answer.content.decode()
    assert client.post("/login/", {"username": "ana@vigie.example", "password": PASSWORD}).status_code == 429


@pytest.mark.parametrize("path", ["/", "/deals/", "/deals/1/", "/settings/alerts/", "/settings/crm/"])
def test_pages_ask_for_a_login(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/?next=")


def test_an_expired_session_reloads_the_page_instead_of_swapping_a_login_into_it(client: Client) -> None:
    answer = client.get("/login/", headers={"HX-Request": "true"})
    assert answer["HX-Refresh"] == "true"


def test_a_user_without_an_organisation_is_told_so(client: Client, ana: User) -> None:
    client.force_login(ana, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get("/deals/")
    assert answer.status_code == 403
    assert "no organisation has you as a member" in answer.content.decode()


def test_logging_out_needs_a_post_and_leads_to_the_login(client: Client, ana: User) -> None:
    client.force_login(ana, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"


def test_the_language_is_switched_and_remembered_without_a_login(client: Client) -> None:
    assert "Log in" in client.get("/login/").content.decode()
    client.post("/language/", {"language": "fr", "next": "/login/"})
    page = client.get("/login/").content.decode()
    assert '<html lang="fr"' in page
    assert "Se connecter" in page


def test_the_language_switch_never_leads_to_another_site(client: Client) -> None:
    answer = client.post("/language/", {"language": "fr", "next": "https://elsewhere.example/"})
    assert answer["Location"] == "/"


def test_the_chosen_theme_is_painted_by_the_server(client: Client) -> None:
    client.cookies["theme"] = "dark"
    assert 'data-theme="dark"' in client.get("/login/").content.decode()
    client.cookies["theme"] = '"><script>'
    assert "data-theme" not in client.get("/login/").content.decode()


def test_health_is_public(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


def test_an_unknown_address_is_a_page_and_no_error() -> None:
    answer = log_in(world_now()).get("/nothing/here/")
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()


def test_no_page_carries_inline_script_or_style(client: Client) -> None:
    answer = client.get("/login/")
    page = answer.content.decode()
    assert "style=" not in page
    assert "<script>" not in page
    assert "default-src 'none'" in answer["Content-Security-Policy"]
