"""One sprite holds exactly the icons in use."""

import re

from django.test import Client
from django.urls import reverse

from alerts.rules import RULES
from config.icons import ICONS, digest, sprite
from config.translations import ROOT

IN_TEMPLATE = re.compile(r"""icon "([a-z0-9-]+)\"""")
IN_CODE = re.compile(r""""([a-z]+(?:-[a-z0-9]+)*)\"""")


def test_every_icon_of_the_templates_and_rules_is_in_the_sprite() -> None:
    used = {name for path in (ROOT / "templates").rglob("*.html") for name in IN_TEMPLATE.findall(path.read_text())}
    used |= {rule.icon for rule in RULES}
    assert used <= ICONS


def test_no_icon_of_the_sprite_is_unused() -> None:
    files = [
        *(ROOT / "templates").rglob("*.html"),
        *(path for app in ("alerts", "workplace") for path in (ROOT / app).rglob("*.py")),
    ]
    words = {word for path in files for word in IN_CODE.findall(path.read_text())}
    assert words >= ICONS


def test_the_sprite_is_public_and_kept_for_ever_under_its_hash(client: Client) -> None:
    answer = client.get(reverse("icons", args=[digest()]))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/svg+xml"
    assert "immutable" in answer["Cache-Control"]
    assert answer.content == sprite()
    assert b'<symbol id="bell" viewBox="0 0 24 24"><path' in answer.content
