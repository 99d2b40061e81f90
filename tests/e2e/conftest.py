"""A real browser on the real pages: the system's Chromium, a live server, a worker and the sandbox CRMs."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import Membership, Organisation, User
from tests import pages, processes
from tests.sandbox import Sandbox
from tests.world import World

# Playwright runs an event loop in this thread; the database is asked between its calls, never inside one.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

expect.set_options(timeout=15_000)  # three processes share two cores

PASSWORD = "correct horse battery"
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
)
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def find_browser() -> str:
    """$BROWSER_BIN, else a Chromium on the PATH, else one of macOS. None is a failure, never a skip."""
    candidates = [
        os.environ.get("BROWSER_BIN"),
        *map(shutil.which, NAMES),
        *(path for path in MAC if Path(path).exists()),
    ]
    found = next(filter(None, candidates), None)
    if not found:
        pytest.fail("No Chromium for the browser tests: apt-get install chromium, or set BROWSER_BIN.")
    return found


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    # One process for all pages: they are this machine's own. Chromium's own sandbox does not work for root.
    args = [
        "--process-per-site",
        "--disable-gpu",
        "--in-process-gpu",
        "--disable-features=SpareRendererForSitePerProcess",
    ]
    return {"executable_path": find_browser(), "args": args + (["--no-sandbox"] if os.geteuid() == 0 else [])}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}


@pytest.fixture
def sandbox(tmp_path: Path, settings: Any) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path, "--delay=250", deals=150) as running:
        settings.PIPEDRIVE_API_URL = f"{running.url}/pipedrive"
        settings.HUBSPOT_API_URL = f"{running.url}/hubspot"
        yield running


@pytest.fixture
def working_url(tmp_path: Path, transactional_db: None, sandbox: Sandbox) -> Iterator[str]:
    """The address of the product: web server and worker as in production."""
    with processes.worker(tmp_path).running(), processes.web(tmp_path) as address:
        yield address


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[str]:
    """The web server alone, for what does not wait for a worker."""
    with processes.web(tmp_path_factory.mktemp("web")) as address:
        yield address


@pytest.fixture(autouse=True)
def unhurried(transactional_db: None) -> Iterator[None]:
    """The tables are emptied when the server has answered the last request of pages that are closed by then.

    Emptying them and a request that is under way would wait for each other.
    """
    yield
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND state <> 'idle'"
            )
            if not cursor.fetchone()[0]:
                return
        time.sleep(0.1)


def cookies(world: World, url: str, language: str, role: str = "admin") -> list[Any]:
    session = pages.log_in(world, role).cookies[settings.SESSION_COOKIE_NAME].value
    values = {settings.SESSION_COOKIE_NAME: session, settings.LANGUAGE_COOKIE_NAME: language}
    return [{"name": name, "value": value, "url": url} for name, value in values.items()]


@pytest.fixture
def open_page(browser: Browser, url: str, world: World, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens an address of the module's `world`: open_page("/deals/", language="fr", color_scheme="dark", …).

    As an admin, or as ROLE of the module says; `stranger`: without a session. At the end the console is empty, but for
    lines with FORGIVEN of the module (the status of an answer that refuses something is told there).
    """
    role, forgiven = (getattr(request.module, name, other) for name, other in (("ROLE", "admin"), ("FORGIVEN", "\0")))
    contexts: dict[str, BrowserContext] = {}
    said: list[str] = []

    def context(language: str, stranger: bool, options: dict[str, Any]) -> BrowserContext:
        """The same for all pages of a test that are opened alike: they are one person's."""
        key = repr((language, stranger, options))
        if key not in contexts:
            contexts[key] = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
            given = cookies(world, url, language, role)
            contexts[key].add_cookies([c for c in given if not stranger or c["name"] != settings.SESSION_COOKIE_NAME])
            if options.get("java_script_enabled", True):  # the script of the login page has said so
                contexts[key].add_cookies([{"name": "script", "value": "1", "url": url}])
        return contexts[key]

    def open_page(path: str, language: str = "en", stranger: bool = False, **options: Any) -> Page:
        page = context(language, stranger, options).new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{url}{path}")
        return page

    yield open_page
    for each in contexts.values():
        each.close()
    assert [line for line in said if forgiven not in line] == [], "the browser's console is not empty"


# Levels A and AA; "best practice" rules are opinions about landmarks.
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
# What can be otherwise in dark colours and another language; the rest of the page is the same.
DARK_RULES = {"type": "rule", "values": ["color-contrast", "link-in-text-block", "html-has-lang", "html-lang-valid"]}
WIDTHS = (390, 768, 1280, 1440)


def expect_no_violations(page: Page, what: str) -> None:
    """All rules in light colours; in dark ones those that look at colours and language."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    options = {"runOnly": DARK_RULES if dark else RULES, "resultTypes": ["violations"]}
    axe = Axe()
    if page.evaluate("'axe' in window"):
        axe.axe_script = ""  # half a megabyte, which the page has already
    found = axe.run(page, options=options)
    assert found.violations_count == 0, f"{what}: {found.generate_report()}"


def expect_no_overflow(page: Page, what: str) -> None:
    """The page is at no width wider than the window; then it is as wide as it was."""
    before = page.viewport_size
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (what, width)
    assert before
    page.set_viewport_size(before)


@pytest.fixture
def admin(transactional_db: None) -> Membership:
    organisation = Organisation.objects.create(name="Boréal", time_zone="Europe/Paris", language="en")
    user = User.objects.create_user("ana@boreal.example", PASSWORD, name="Ana Ruiz")
    return Membership.objects.create(user=user, organisation=organisation, role=Membership.Role.ADMIN)


def log_in(page: Page, url: str, membership: Membership) -> None:
    page.goto(f"{url}/login/")
    page.get_by_label("E-mail").fill(membership.user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    page.wait_for_url(re.compile("/(deals|welcome)/"))
    page.goto(f"{url}/deals/")  # an admin of a new organisation has been led to the set-up


@pytest.fixture
def console(page: Page) -> list[str]:
    """Everything the browser complains about; a test ends by expecting nothing."""
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    return said
