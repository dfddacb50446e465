"""An endpoint in OpenAI's protocol on the loopback address, which fails as real ones do.

What goes wrong is drawn by a seed from the request and the number of its try, so it does not depend
on the order of arrival. It charges when it has computed an answer, whether that arrives or not, and
once for each `Idempotency-Key`; what it charged and sent is in its books.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "-".join(("sk", "0123", "not", "to", "be", "found"))  # not in this file either
MODEL = "tiny-chat"
FAULTS = ("429", "500", "time-out", "cut-off", "not-json")
TIME_OUT_SECONDS = 1.5
"""How long a time-out takes; clients of it wait less."""


def short_answer(prompt: str, body: dict[str, Any]) -> str:
    """A text that depends on the prompt and the seed."""
    return f"answer {body.get('seed', 0)} to {prompt}"


@dataclass
class Books:
    """How the server answers, and what it has charged and sent."""

    url: str = ""
    fault_share: float = 0.0
    seed: int = 1
    honours_keys: bool = True
    answer: Callable[[str, dict[str, Any]], str] = short_answer
    always: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """Status and content of what prompts with a certain word in them get every time."""
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Status and headers of the first answers, whatever is asked."""
    finish_reason: str = "stop"
    has_usage: bool = True
    slow_seconds: Callable[[str], float] = lambda key: 0.0
    charged: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Prompt and answer tokens by key, or by key and try where keys are not honoured."""
    sent: Counter[str] = field(default_factory=Counter)
    """Whole answers sent, by key."""
    tries: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    most_at_once: int = 0
    at_once: int = 0
    arrivals: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tokens(self) -> tuple[int, int]:
        """Prompt and answer tokens charged in all."""
        rows = list(self.charged.values())
        return sum(row[0] for row in rows), sum(row[1] for row in rows)

    def fault(self, key: str, number: int) -> str:
        """What goes wrong with a try, or nothing."""
        digest = hashlib.sha256(f"{self.seed}/{key}/{number}".encode()).digest()
        if int.from_bytes(digest[:4]) / 2**32 >= self.fault_share:
            return ""
        return FAULTS[digest[4] % len(FAULTS)]


def prompt_of(body: dict[str, Any]) -> str:
    if "messages" not in body:
        return str(body["prompt"])
    return "".join(str(message["content"]) for message in body["messages"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    books: Books

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal clean."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        books = self.books
        with books.lock:
            books.arrivals.append(time.monotonic())
            books.at_once += 1
            books.most_at_once = max(books.most_at_once, books.at_once)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
                self._answer(body)
        finally:
            with books.lock:
                books.at_once -= 1

    def _answer(self, body: dict[str, Any]) -> None:
        books, key = self.books, self.headers["Idempotency-Key"]
        with books.lock:
            books.tries[key] += 1
            number = books.tries[key]
            first = books.first.pop(0) if books.first else None
        if first is not None:
            self._send(first[0], {"error": {"message": "not now"}}, **first[1])
        elif (bearer := self.headers["Authorization"]) != f"Bearer {KEY}":
            self._send(401, {"error": {"message": f"wrong key: {bearer}", "code": "invalid"}})
        elif body["model"] != MODEL:
            self._send(404, {"error": {"message": f"no model {body['model']}", "code": "none"}})
        elif (word := next((w for w in books.always if w in prompt_of(body)), "")) != "":
            status, content = books.always[word]
            self._send(status, content)
        else:
            self._compute(key, number, body)

    def _compute(self, key: str, number: int, body: dict[str, Any]) -> None:
        books = self.books
        time.sleep(books.slow_seconds(key))
        fault = books.fault(key, number)
        with books.lock:
            books.faults[fault] += bool(fault)
        if fault == "429":
            self._send(429, {"error": {"message": f"slow down, {KEY}"}}, Retry_After="0.05")
        elif fault == "500":
            self._send(500, {"error": {"message": "out of order"}})
        else:
            content = self._charge(key, number, body)
            if fault == "time-out":
                time.sleep(TIME_OUT_SECONDS)
                self.close_connection = True
            elif fault == "cut-off":
                self._send(200, content, share=0.5)
            elif fault == "not-json":
                self._send(200, content[: len(content) // 2])
            else:
                self._send(200, content)
                with books.lock:
                    books.sent[key] += 1

    def _charge(self, key: str, number: int, body: dict[str, Any]) -> bytes:
        books, prompt = self.books, prompt_of(body)
        text = books.answer(prompt, body)
        usage = (len(prompt.split()), len(text.split()))
        with books.lock:
            books.bodies[key] = body
            books.charged[key if books.honours_keys else f"{key}/{number}"] = usage
        choice: dict[str, Any] = {"index": 0, "finish_reason": books.finish_reason}
        if "messages" in body:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        reply: dict[str, Any] = {"id": key, "object": "chat.completion", "choices": [choice]}
        if books.has_usage:
            reply["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        return json.dumps(reply).encode()

    def _send(
        self, status: int, content: dict[str, Any] | bytes, share: float = 1.0, **headers: str
    ) -> None:
        encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded[: int(len(encoded) * share)])
        self.close_connection |= share < 1.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A killed client is no news."""


@contextmanager
def serve_openai(**settings: Any) -> Iterator[Books]:
    """Serve on a port of its own; `settings` are fields of `Books`."""
    books = Books(**settings)
    server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"books": books}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        books.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield books
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
