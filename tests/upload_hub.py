"""A hub on the loopback address that takes uploads: the calls that `huggingface_hub` makes for one.

What arrives is kept in memory, by repository and name. Files that end in `.safetensors` come as
large files do, in a request of their own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Taken:
    """What a hub was sent."""

    url: str = ""
    token: str = "hf_test"
    """Who sends another is refused."""
    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """By sha256."""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By repository and name."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    taken: Taken

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal clean."""

    def do_GET(self) -> None:
        name = self.path.split("?")[0].removeprefix("/api/models/")
        asked = self.taken.created.get(name)
        private = asked is not None and asked.get("visibility") == "private"
        self._answer(404 if asked is None else 200, {"id": name, "private": private})

    def do_PUT(self) -> None:
        content = self._body()
        self.taken.large[hashlib.sha256(content).hexdigest()] = content
        self._answer(200, {})

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.split("?")[0]
        if self.headers.get("Authorization") != f"Bearer {self.taken.token}":
            self._answer(401, {"error": "Invalid credentials"})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            status = 409 if name in self.taken.created else 200
            self.taken.created.setdefault(name, asked)
            self._answer(status, {"url": f"{self.taken.url}/{name}", "name": name, "id": name})
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            self._answer(200, {"files": list(map(_mode, json.loads(body)["files"]))})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**entry, "actions": {"upload": {"href": f"{self.taken.url}/put/{entry['oid']}"}}}
                for entry in json.loads(body)["objects"]
            ]
            self._answer(200, {"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            self._commit("/".join(path.split("/")[3:5]), body)
        else:
            self._answer(404, {"error": path})

    def _commit(self, repository: str, body: bytes) -> None:
        files = self.taken.files.setdefault(repository, {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.taken.large[value["oid"]]
        oid = hashlib.sha1(body).hexdigest()
        url = f"{self.taken.url}/{repository}/commit/{oid}"
        self._answer(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


@contextmanager
def take_uploads() -> Iterator[Taken]:
    """Run a hub that takes uploads, on a port of its own."""
    taken = Taken()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"taken": taken}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        taken.url = f"http://127.0.0.1:{server.server_port}"
        yield taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
