"""Both CRMs with their sign-ins, as this server's settings would have them."""

from collections.abc import Iterator

import pytest
from django.test import override_settings

from tests.sandbox import Sandbox


@pytest.fixture(scope="session")
def _oauth_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.run(tmp_path_factory.mktemp("oauth"), deals=12) as sandbox:
        yield sandbox


@pytest.fixture
def crms(_oauth_server: Sandbox) -> Iterator[Sandbox]:
    """People are let in at once; nothing is left of the test before."""
    _oauth_server.reset()
    addresses = {}
    for crm in ("pipedrive", "hubspot"):
        _oauth_server.oauth(crm, page=False)
        addresses |= {f"{crm.upper()}_{what}_URL": f"{_oauth_server.url}/{crm}" for what in ("API", "OAUTH")}
        addresses |= {f"{crm.upper()}_CLIENT_ID": "sandbox-app", f"{crm.upper()}_CLIENT_SECRET": "sandbox-app-secret"}
    with override_settings(SITE_URL="http://testserver", **addresses):
        yield _oauth_server
