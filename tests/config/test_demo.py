"""The demo from the outside: what it starts, what it tells, and that nothing of it is left."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from config import embedded, supervisor
from config.supervisor import Supervisor
from tests.config.test_embedded import VARIABLES, alive, children, pids

ENVIRON = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, "PORT", "SANDBOX_PORT")}


def start_demo(folder: Path, **environ: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "config.demo", "--folder", folder],
        env=ENVIRON | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def family(parent: int) -> list[int]:
    return [pid for child in children(parent) for pid in (child, *family(child))]


def test_demo_lets_everybody_in_and_ctrl_c_leaves_no_process(tmp_path):
    port = embedded.choose_port("-")
    demo = start_demo(tmp_path / "demo", PORT=str(port))
    try:
        said = ""
        while "Ctrl-C stops everything" not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
        running = family(demo.pid) + pids(tmp_path / "demo")
        summary = json.loads((tmp_path / "demo.json").read_text())
        assert summary["url"] == f"http://127.0.0.1:{port}"
        assert summary["url"] in said
        assert [organisation["provider"] for organisation in summary["organisations"]] == ["pipedrive", "hubspot"]
        for organisation in summary["organisations"]:
            assert {login["role"] for login in organisation["logins"]} == {"admin", "manager", "rep"}
            for login in organisation["logins"]:
                assert login["email"] in said
                assert len(login["password"]) >= 12
                assert organisation["name"] in page_after_login(summary["url"], login)

        # Only `migrate` ever had the owner's password.
        environs = [Path(f"/proc/{pid}/environ").read_bytes() for pid in family(demo.pid) if pid in alive(running)]
        assert any(b"DATABASE_URL=postgres://vigie_app:" in environ for environ in environs)
        assert not any(b"vigie_owner" in environ for environ in environs)

        second = start_demo(tmp_path / "demo", PORT=str(embedded.choose_port("-")))
        assert second.communicate(timeout=20)[0] == "vigie: The demo is running already.\n"
        assert second.returncode == 1
    finally:
        asked_at = time.monotonic()
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)
    assert rest.endswith("Stopped.\n")
    assert demo.returncode == 0
    assert time.monotonic() - asked_at < 15
    assert len(running) > 12
    assert alive(running) == []


def page_after_login(url: str, login: dict[str, str]) -> str:
    with requests.Session() as session:
        form = session.get(url, timeout=10)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)[1]
        data = {"csrfmiddlewaretoken": token, "username": login["email"], "password": login["password"]}
        answer = session.post(form.url, data, headers={"Referer": form.url}, timeout=10)
        assert answer.status_code == 200
        assert "csrfmiddlewaretoken" not in answer.url
        return answer.text.replace("&amp;", "&")


def test_a_taken_port_gets_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = start_demo(tmp_path / "demo", PORT=str(port))
        said, _ = demo.communicate(timeout=20)
    assert said == f"vigie: Port {port} is taken: stop what uses it, or choose another with PORT.\n"
    assert demo.returncode == 1


LEADER = """
import signal, subprocess, sys
child = subprocess.Popen(["sh", "-c", "sleep 1; echo finished"])
def stop(*_):
    sys.exit(child.wait())
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
signal.pause()
"""


def test_only_leaders_are_told_to_stop_so_a_running_task_is_finished(tmp_path):
    with Supervisor(tmp_path) as supervised:
        supervised.start("leader", [sys.executable, "-c", LEADER], os.environ)
        assert embedded.wait(lambda: "ready" in supervised.log("leader").read_text(), 10)
    assert supervised.log("leader").read_text() == "ready\nfinished\n"


def test_a_stubborn_process_is_killed_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.2)
    with Supervisor(tmp_path) as supervised:
        supervised.start("deaf", ["sh", "-c", 'trap "" TERM; sleep 60 & echo ready; wait; sleep 60'], os.environ)
        assert embedded.wait(lambda: "ready" in supervised.log("deaf").read_text(), 10)
        leader = supervised.processes["deaf"].pid
        running = [leader, *family(leader)]
    assert len(running) == 2
    assert embedded.wait(lambda: not alive(running), 5)


@pytest.mark.parametrize("code", [0, 3])
def test_an_end_is_reported_with_its_code(tmp_path, code):
    with Supervisor(tmp_path) as supervised:
        supervised.start("long", ["sleep", "60"], os.environ)
        supervised.start("short", ["sh", "-c", f"exit {code}"], os.environ)
        assert supervised.wait_for_an_end() == ("short", code)
        assert list(supervised.processes) == ["long"]
