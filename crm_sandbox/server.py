"""One HTTP server for both CRMs and the control path. A lock makes every answer see one state."""

import socket
import time
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from crm_sandbox.faults import DOWN, Faults
from crm_sandbox.messages import Answer, Request, answer


class Api(Protocol):
    """What answers below a prefix of the address."""

    prefix: str

    def handle(self, request: Request) -> Answer: ...
    def fault(self, status: int, *, daily: bool, retry_after: int) -> Answer: ...


class Log:
    """The requests to the CRMs since the last clearing."""

    SHORT = 2000

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()

    def add(self, prefix: str, request: Request, status: int | str) -> None:
        path = f"/{prefix}/{request.path}"
        body = request.body[: self.SHORT].decode(errors="replace")
        entry = {"method": request.method, "path": path, "query": request.query, "status": status, "body": body}
        self.entries.append(entry)
        self.counts[path] += 1


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, address: tuple[str, int], apis: Mapping[str, Api], faults: Faults, log: Log, delay: float = 0
    ) -> None:
        super().__init__(address, Handler)
        self.apis, self.faults, self.log, self.delay = apis, faults, log, delay
        self.lock = Lock()
        self.stopping = False

    def service_actions(self) -> None:
        """Between two requests: a signal's exception in the middle of one is taken for an error of that request."""
        if self.stopping:
            raise SystemExit(0)

    def skew(self, prefix: str) -> float:
        """Seconds by which the clock of this CRM is ahead."""
        crm = getattr(self.apis.get(prefix), "crm", None)
        return crm.skew if crm else 0.0

    def answer(self, prefix: str, request: Request) -> Answer | None:
        """None: the line is cut without an answer."""
        api = self.apis.get(prefix)
        if api is None:
            return answer(404, {"error": f"nothing below /{prefix}; there are /pipedrive, /hubspot and /control"})
        if prefix != "control":
            time.sleep(self.delay)
        with self.lock:
            if prefix == "control":
                return api.handle(request)
            fault = self.faults.take(prefix, request.path)
            if fault is not None and fault.status == DOWN:
                self.log.add(prefix, request, DOWN)
                return None
            result = (fault.answer(api) if fault else None) or api.handle(request)
            self.log.add(prefix, request, result.status)
        return fault.spoil(result) if fault else result  # without the lock: a slow answer keeps nobody else waiting


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    timeout = 300

    def respond(self) -> None:
        target = urlsplit(self.path)
        prefix, _, path = target.path.strip("/").partition("/")
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            path=path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): text for name, text in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
            origin=f"http://{self.headers.get('Host', '')}",
        )
        result = self.server.answer(prefix, request)
        if result is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        date = self.date_time_string(time.time() + self.server.skew(prefix))
        head = [f"HTTP/1.1 {result.status} {phrase(result.status)}", f"Date: {date}"]
        head += [f"{name}: {text}" for name, text in result.headers.items()]
        head += [f"Content-Type: {result.content_type}", f"Content-Length: {len(result.body)}", "", ""]
        self.wfile.write("\r\n".join(head).encode("latin-1") + result.body[: result.cut])
        if result.cut is not None:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: what was asked is told by /control/requests."""


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
