"""A proxy on the loopback address before an S3 server, through which a share of requests fails.

A failing request is answered 503, or its answer ends in the middle, or it is not answered in time.
Which ones, a seed says. What S3 is asked to do may have been done though the answer failed.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ("busy", "cut", "late")
BUSY = b"<Error><Code>ServiceUnavailable</Code><Message>busy</Message></Error>"
OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


@dataclass
class Faults:
    """How many requests fail, and how many did."""

    share: float
    seed: int = 7
    late_seconds: float = 2.0
    """How long a request that is not answered in time is kept waiting."""
    url: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lots = random.Random(self.seed)
        self._lock = threading.Lock()

    def draw(self) -> str:
        """The kind of fault of the next request; empty for none."""
        with self._lock:
            kind = self._lots.choice(KINDS) if self._lots.random() < self.share else ""
            self.counts[kind or "whole"] += 1
            return kind


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults
    upstream: str

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal clean."""

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(length)
        kind = self.faults.draw()
        if kind == "busy":
            self._answer(503, {"Content-Type": "application/xml"}, BUSY, len(BUSY))
            return
        status, headers, content = self._asked(body)
        if kind == "late":
            time.sleep(self.faults.late_seconds)
            self.close_connection = True
            return
        told = int(headers.get("Content-Length", 0)) if self.command == "HEAD" else len(content)
        if kind == "cut":
            self.close_connection = True
            if not content:
                return
            content = content[: len(content) // 2]
        self._answer(status, headers, content, told)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        host, _, port = self.upstream.removeprefix("http://").partition(":")
        connection = HTTPConnection(host, int(port), timeout=60)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in OF_ONE_CONNECTION | {"expect"}
        }
        connection.request(self.command, self.path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        kept = {k: v for k, v in response.getheaders() if k.lower() not in OF_ONE_CONNECTION}
        connection.close()
        return response.status, kept, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, told: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(told))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up waiting is what this is for."""


@contextmanager
def failing(upstream: str, faults: Faults) -> Iterator[Faults]:
    """Serve `upstream` with faults on a port of its own."""
    handler = type("Bound", (_Proxy,), {"faults": faults, "upstream": upstream})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        faults.url = f"http://127.0.0.1:{server.server_port}"
        yield faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
