"""`make demo`: two companies, one on each CRM of the sandbox, watched by the real product on this machine.

PORT chooses the port of the pages (8000), SANDBOX_PORT that of the sandbox (a free one). Nothing is preloaded: the
deals come over HTTP from the sandbox while one looks on. With `--without-sandbox` no CRM answers, and the pages say so.
Addresses, logins and tokens are also written to `.vigie/demo.json`. Data stays in `.vigie/demo`: delete it to begin
anew.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import embedded
from config.supervisor import Stop, Supervisor, stop_on_signals

FOLDER = embedded.ROOT / ".vigie/demo"
CRMS = {"pipedrive": "Pipedrive", "hubspot": "HubSpot"}
TOKENS = {provider: f"sandbox-{provider}-token" for provider in CRMS}
APP = "sandbox-app"  # as which the sandbox knows us when somebody signs in there
START_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m config.demo", description="Run the demo on this machine.")
    parser.add_argument("--without-sandbox", action="store_true", help="see what the pages say when a CRM is down")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="data and logs; <folder>.json says how to get in")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    os.chdir(embedded.ROOT)
    stop_on_signals()
    try:
        run(folder, with_sandbox=not arguments.without_sandbox)
    except embedded.EmbeddedError as error:
        sys.exit(f"vigie: {error}")
    except Stop:
        say("Stopped.")
    return 0


def run(folder: Path, *, with_sandbox: bool) -> None:
    if embedded.in_use(folder):
        raise embedded.EmbeddedError("The demo is running already.")
    port, sandbox_port = embedded.choose_port("PORT", 8000), embedded.choose_port("SANDBOX_PORT")
    url, sandbox = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
    summary_file = folder.with_suffix(".json")
    summary_file.unlink(missing_ok=True)
    say("Starting PostgreSQL and Valkey …")
    with embedded.services(folder) as variables, Supervisor(folder) as supervisor:
        environ = os.environ | variables
        environ |= {"EMAIL_URL": f"filemail:///{folder / 'mail'}", "SITE_URL": url}  # an invitation is a file there
        for crm in ("PIPEDRIVE", "HUBSPOT"):
            environ |= {f"{crm}_{what}_URL": f"{sandbox}/{crm.lower()}" for what in ("API", "OAUTH")}
            environ |= {f"{crm}_CLIENT_ID": APP, f"{crm}_CLIENT_SECRET": f"{APP}-secret"}
        owner = environ.pop("DATABASE_OWNER_URL", "")  # for `migrate` alone: web and worker own nothing

        say("Setting up the database …")
        python("manage.py", "migrate", "--verbosity=0", environ=environ | {"DATABASE_OWNER_URL": owner})
        python("-m", "config.translations", "compile", environ=environ)
        python("manage.py", "collectstatic", "--no-input", "--verbosity=0", environ=environ)

        say("Starting the sandbox CRMs, the pages and the worker …")
        tokens = [f"--{provider}-token={token}" for provider, token in TOKENS.items()]
        commands = {
            "sandbox": [
                "crm_sandbox",
                f"--port={sandbox_port}",
                f"--now={began_at(folder)}",
                "--delay=250",
                "--burst=100000",
                f"--hubspot-webhooks={url}/webhooks/hubspot/",
                *tokens,
            ],
            "web": ["gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}"],
            "worker": ["celery", "--app=config", "worker", "--concurrency=2", "--loglevel=INFO"],
            "beat": ["celery", "--app=config", "beat", f"--schedule={folder / 'beat'}", "--pidfile="],
        }
        if not with_sandbox:
            del commands["sandbox"]
        for name, command in commands.items():
            supervisor.start(name, [sys.executable, "-m", *command], environ)
        if with_sandbox:
            wait_for_port(supervisor, "sandbox", sandbox_port)
        wait_for_port(supervisor, "web", port)

        organisations = json.loads(python("manage.py", "create_demo", *tokens, environ=environ))
        python("manage.py", "end_set_up", *(each["name"] for each in organisations), environ=environ)
        summary = {
            "url": url,
            "sandbox": {"url": sandbox, **{f"{provider}_token": token for provider, token in TOKENS.items()}},
            "organisations": organisations,
        }
        with embedded.open_private(summary_file) as file:
            json.dump(summary, file, ensure_ascii=False, indent=2)
        introduce(summary)
        while True:
            name, code = supervisor.wait_for_an_end()
            say(f"The {name} process ended with code {code}, see {supervisor.log(name)}.")
            if name == "web":
                sys.exit(1)


def began_at(folder: Path) -> str:
    """When this demo was first started: the sandbox invents its data around that moment, the same at every start."""
    began = folder / "began_at"
    if not began.exists():
        began.write_text(datetime.now(UTC).isoformat(timespec="seconds"))
    return began.read_text()


def python(*arguments: str, environ: Mapping[str, str]) -> str:
    """Run a step to its end and return what it printed; a failed one ends the demo with what it said."""
    result = subprocess.run(
        [sys.executable, *arguments], env=environ, capture_output=True, text=True, start_new_session=True
    )
    if result.returncode:
        raise embedded.EmbeddedError(f"{' '.join(arguments[:2])} failed:\n{result.stderr.strip()}")
    sys.stderr.write(result.stderr)
    return result.stdout


def wait_for_port(supervisor: Supervisor, name: str, port: int) -> None:
    embedded.wait(lambda: supervisor.has_ended(name) or embedded.answers(port), START_SECONDS)
    if not embedded.answers(port):
        raise embedded.EmbeddedError(f"The {name} did not start, see {supervisor.log(name)}.")


def introduce(summary: Mapping[str, Any]) -> None:
    say(f"\n  {summary['url']}\n")
    for organisation in summary["organisations"]:
        say(f"  {organisation['name']}, on {CRMS[organisation['provider']]}")
        for login in organisation["logins"]:
            say(f"    {login['role']:8} {login['email']:40} {login['password']}")
    say("\n  Ctrl-C stops everything; the data stays for the next time.")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
