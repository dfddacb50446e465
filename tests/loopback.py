"""Servers on the loopback address that stand for the network: files over HTTP, and a hub.

Both serve a folder as it is. `faults` says what goes wrong first: how many answers of a path are
an error of the server, or end after half of their bytes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Served:
    """What a server serves, and what was asked of it."""

    folder: Path
    url: str = ""
    errors: Counter[str] = field(default_factory=Counter)
    """Answers with status 503 still to be given, by path."""
    cuts: Counter[str] = field(default_factory=Counter)
    """Answers that end in the middle still to be given, by path."""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of content sent, by path."""
    accepts_ranges: bool = True


class _Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal clean."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self._send_file(path, self.served.folder / path)

    def _send_file(self, name: str, file: Path, **headers: str) -> None:
        if self.served.errors[name] > 0:
            self.served.errors[name] -= 1
            self._send(503, b"busy")
        elif not file.is_file():
            self._send(404, b"not here")
        else:
            self._send_content(name, file.read_bytes(), headers)

    def _send_content(self, name: str, content: bytes, headers: dict[str, str]) -> None:
        asked = self.headers.get("Range", "") if self.served.accepts_ranges else ""
        if self.served.accepts_ranges:
            headers["Accept-Ranges"] = "bytes"
        if not asked:
            self._send(200, content, name=name, **headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self._send(206, content[start : end + 1], name=name, **headers)

    def _send(self, status: int, content: bytes, name: str = "", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.served.cuts[name] > 0:
            self.served.cuts[name] -= 1
            content = content[: len(content) // 2]
            self.close_connection = True
        self.served.sent[name] += len(content)
        self.wfile.write(content)

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")


class _Hub(_Files):
    """The part of the hub's interface that its own clients use to read a data set.

    The folder is `<owner>/<name>/<revision>/...`.
    """

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self._answer_api(parse_qs(body).get("paths") or json.loads(body or "{}").get("paths", []))

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/"):
            self._answer_api([])
        elif path.startswith("datasets/") and "/resolve/" in path:
            name, _, rest = path.removeprefix("datasets/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            found = self.served.folder / name / revision / file
            etag = _oid(found) if found.is_file() else ""
            self._send_file(file, found, ETag=f'"{etag}"', X_Repo_Commit=revision)
        else:
            self._send(404, b"")

    def _answer_api(self, paths: list[str]) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        parts = path.split("/")
        if (
            len(parts) < 6
            or not (root := self.served.folder.joinpath(*parts[2:4], parts[5])).is_dir()
        ):
            self._send(404, b"{}", X_Error_Code="RepoNotFound")
            return
        verb, below = parts[4], "/".join(parts[6:])
        if verb == "revision":
            files = [{"rfilename": entry["path"]} for entry in _entries(root, "", recursive=True)]
            name = "/".join(parts[2:4])
            self._send_json({"id": name, "sha": parts[5], "siblings": files, "tags": []})
        elif verb == "tree":
            recursive = "recursive" in parse_qs(urlsplit(self.path).query)
            self._send_json(_entries(root, below, recursive=recursive))
        elif verb == "paths-info":
            wanted = {path.strip("/") for path in paths}
            entries = _entries(root, "", recursive=True)
            self._send_json([entry for entry in entries if entry["path"] in wanted])
        else:
            self._send(404, b"{}")


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


def _entries(root: Path, below: str, *, recursive: bool) -> list[dict[str, object]]:
    found = (root / below).rglob("*") if recursive else (root / below).glob("*")
    return [
        {"type": "directory", "path": str(path.relative_to(root)), "oid": "0" * 40, "size": 0}
        if path.is_dir()
        else {
            "type": "file",
            "path": str(path.relative_to(root)),
            "oid": _oid(path),
            "size": path.stat().st_size,
        }
        for path in sorted(found)
    ]


@contextmanager
def serve_files(folder: Path) -> Iterator[Served]:
    """Serve a folder over HTTP on a port of its own."""
    with _serve(folder, _Files) as served:
        yield served


@contextmanager
def serve_hub(folder: Path) -> Iterator[Served]:
    """Serve data sets as the Hugging Face hub does, on a port of its own."""
    with _serve(folder, _Hub) as served:
        yield served


@contextmanager
def _serve(folder: Path, handler: type[_Files]) -> Iterator[Served]:
    served = Served(folder)
    bound = type("Bound", (handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        served.url = f"http://127.0.0.1:{server.server_port}"
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
