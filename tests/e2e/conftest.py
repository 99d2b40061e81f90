"""A real browser on the real pages: the system's Chromium, a live server, a worker and the sandbox CRMs."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from accounts.models import Membership, Organisation, User
from tests import processes
from tests.sandbox import Sandbox

# Playwright runs an event loop in this thread; the database is asked between its calls, never inside one.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

PASSWORD = "correct horse battery"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
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
    # Chromium's own sandbox does not work for root, and nothing but this machine's pages is opened.
    return {"executable_path": find_browser(), "args": ["--no-sandbox"] if os.geteuid() == 0 else []}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}


@pytest.fixture
def sandbox(tmp_path: Path, settings: Any) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path, "--delay=250", deals=300) as running:
        settings.PIPEDRIVE_API_URL = f"{running.url}/pipedrive"
        settings.HUBSPOT_API_URL = f"{running.url}/hubspot"
        yield running


@pytest.fixture
def url(tmp_path: Path, transactional_db: None, sandbox: Sandbox) -> Iterator[str]:
    """The address of the product: web server and worker as in production."""
    with processes.worker(tmp_path).running(), processes.web(tmp_path) as address:
        yield address


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
