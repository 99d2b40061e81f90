"""The sandbox as a process: how it starts, refuses to start, and ends."""

import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from tests.sandbox import Sandbox


def start(*arguments):
    return subprocess.run([sys.executable, "-m", "crm_sandbox", *arguments], capture_output=True, text=True, timeout=60)


def test_a_taken_port_is_told_in_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start("--deals", "5", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"The CRM sandbox cannot listen on 127.0.0.1:{port}: Address already in use.\n"


@pytest.mark.parametrize("now", ["yesterday", "2026-11-22T09:00:00"])
def test_a_moment_without_a_zone_is_refused(now):
    done = start("--now", now)
    assert (done.returncode, "--now: invalid" in done.stderr) == (2, True)


def test_the_process_ends_cleanly_when_it_is_told_to(tmp_path):
    command = [sys.executable, "-m", "crm_sandbox", "--port", "0", "--deals", "5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("crm sandbox ready on http://127.0.0.1:")
    process.terminate()
    assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0


INTERRUPTED = """
import os, runpy, signal
from crm_sandbox.server import Server

begin = Server.process_request

def interrupted(self, *request):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        begin(self, *request)
    except SystemExit:  # what threading does about it where it waits for a lock
        raise RuntimeError("release unlocked lock")

Server.process_request = interrupted
runpy.run_module("crm_sandbox", run_name="__main__")
"""


def test_it_ends_in_the_middle_of_a_request_too():
    command = [sys.executable, "-c", INTERRUPTED, "--port", "0", "--deals", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        url = re.search(r"http://\S+", process.stdout.readline()).group()
        try:
            with suppress(requests.ConnectionError):
                requests.get(f"{url}/control/requests", timeout=5)
            assert process.wait(5) == 0
        finally:
            process.kill()


def test_other_tokens_may_be_chosen(tmp_path):
    with Sandbox.run(tmp_path, "--pipedrive-token", "pd", "--hubspot-token", "hs", deals=5) as sandbox:
        pipedrive = requests.get(f"{sandbox.url}/pipedrive/api/v2/deals", headers={"x-api-token": "pd"}, timeout=5)
        url = f"{sandbox.url}/hubspot/crm/objects/2026-09/deals"
        hubspot = requests.get(url, headers={"Authorization": "Bearer hs"}, timeout=5)
    assert (pipedrive.status_code, hubspot.status_code) == (200, 200)


def test_many_clients_are_served_at_once(crms):
    with ThreadPoolExecutor(16) as pool:
        pages = list(pool.map(lambda _: crms.pipedrive("deals", limit=500)["data"], range(64)))
    assert all(page == pages[0] for page in pages)
