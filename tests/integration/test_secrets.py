"""A run with failures, and twenty secrets around it: none is written down anywhere."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.clone import Clone, make_clone
from tests.openai_server import MODEL, serve_openai
from tests.planted import OF_A_FORM, PLANTED, environment

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Clone, str]]:
    """A checkout in which stages have failed and one has not, and all that they printed."""
    folder = tmp_path_factory.mktemp("secrets").resolve()
    clone = make_clone(folder / "checkout")
    home = folder / "home"
    clone = Clone(clone.path, {**clone.environment, **environment(home)})
    try:
        told = [source_fails(clone), stage_ends_well(clone), teacher_fails(clone), crash(clone)]
        told.append(rank_crashes(clone))
        yield clone, "\n".join(told)
    finally:
        clone.stop()
        shutil.rmtree(home)


class _Refuses(BaseHTTPRequestHandler):
    """A bucket that repeats what it was asked with, as some do in their errors."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal clean."""

    def do_GET(self) -> None:
        said = f"{self.headers['Authorization']} {self.headers['X-Amz-Security-Token']}"
        code = "<Code>InvalidAccessKeyId</Code>"
        content = f"<Error>{code}<Message>no such key: {said}</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET


@contextmanager
def serve_refusals() -> Iterator[str]:
    """Give the address of such a bucket while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def edit(clone: Clone, name: str, change: dict[str, object], section: str = "") -> None:
    """Add to a YAML file of the checkout."""
    file = clone.path / name
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    below = content
    for part in filter(None, section.split(".")):
        below = below.setdefault(part, {})
    below |= change
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def source_fails(clone: Clone) -> str:
    """A bucket says no and repeats the key; its address has a password in the first try."""
    recipe = (clone.path / "params.yaml").read_bytes()
    source = {"format": "text", "document": "line", "language": "eng_Latn", "license": "CC0-1.0"}
    crawl = {**source, "version": "1", "files": {"a.txt": None}}
    edit(clone, "params.yaml", {"crawl": crawl}, "ingest.sources")
    profile = "infra/profiles/laptop.yaml"
    before = (clone.path / profile).read_bytes()
    address = OF_A_FORM["password in an address"]
    edit(clone, profile, {"crawl": address}, "source_locations")
    first, told = clone.repro("ingest")
    assert first != 0
    assert "source_locations.crawl: holds credentials" in told
    edit(clone, profile, {"crawl": "s3://corpora/crawl"}, "source_locations")
    with serve_refusals() as endpoint:
        second, more = clone.repro("ingest", AWS_ENDPOINT_URL=endpoint)
    assert second != 0
    assert "a.txt: cannot be read" in more
    (clone.path / profile).write_bytes(before)
    (clone.path / "params.yaml").write_bytes(recipe)
    return told + more


def stage_ends_well(clone: Clone) -> str:
    """So that there are artifacts, and Prefect has a run of each kind."""
    status, told = clone.repro("curate")
    assert status == 0, told
    return told


def teacher_fails(clone: Clone) -> str:
    """An endpoint answers with the key that it was sent."""
    edit(
        clone,
        "params.yaml",
        {
            "teacher": {
                "kind": "openai",
                "endpoint": "hosted",
                "model": MODEL,
                "form": "chat",
                "prices": {"per_million_prompt_tokens": 0.5, "per_million_answer_tokens": 1.5},
                "budget": {"max_money": 1.0},
                "license": "CC0-1.0",
            }
        },
        "instruct.self_instruct",
    )
    with serve_openai() as books:
        endpoint = {"address": books.url, "key_variable": "TEACHER_API_KEY"}
        edit(clone, "infra/profiles/laptop.yaml", {"hosted": endpoint}, "endpoints")
        status, told = clone.repro("instruct")
    assert status != 0
    assert "401: wrong key: Bearer [" in told
    return told


RAISING = "import os; print(dict(os.environ)); raise KeyError(dict(os.environ))"
"""A defect, whose message has all secrets of the environment."""


def crash(clone: Clone) -> str:
    """A defect in the code of a stage ends with a traceback."""
    file = clone.path / "polylm_core/stages/vocab/stage.py"
    text = file.read_text(encoding="utf-8")
    start = text.index('"""', text.index("def vocab(") + 1)
    end = text.index('"""', start + 3) + 4
    file.write_text(f"{text[:end]}    {RAISING}\n{text[end:]}", encoding="utf-8")
    status, told = clone.repro("vocab")
    file.write_text(text, encoding="utf-8")
    assert status != 0
    assert "Traceback" in told
    return told


def rank_crashes(clone: Clone) -> str:
    """A defect in the ranks of a training run, under Ray, is in their logs and Ray's."""
    file = clone.path / "polylm_core/training/loop.py"
    text = file.read_text(encoding="utf-8")
    place = text.index("    ):\n", text.index("logged(job.work")) + len("    ):\n")
    file.write_text(f"{text[:place]}        {RAISING}\n{text[place:]}", encoding="utf-8")
    status, told = clone.repro("pretrain")
    file.write_text(text, encoding="utf-8")
    assert status != 0
    assert "times in a row" in told
    return told


@pytest.mark.parametrize("name", PLANTED)
def test_a_secret_is_not_printed(ended: tuple[Clone, str], name: str) -> None:
    assert PLANTED[name] not in ended[1]


def test_no_file_holds_a_secret(ended: tuple[Clone, str]) -> None:
    clone, _ = ended
    rays = Path("/tmp").glob(f"polylm-ray-{os.getuid()}-*/**/*")
    files = [*clone.path.rglob("*"), *(path for path in rays if path.is_file())]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    assert any(path.suffix.startswith(".db") for path in files), "Prefect's database is missing"
    assert any(path.name == "provenance.json" for path in files)
    assert any(path.name == "rank-0.log" for path in files), "no rank has started"
    found = {
        str(path.relative_to(clone.path) if clone.path in path.parents else path): name
        for path in files
        if path.name != "planted.py"
        for content in (path.read_bytes(),)
        for name, secret in PLANTED.items()
        if secret.encode() in content or json.dumps(secret)[1:-1].encode() in content
    }
    assert found == {}


def test_prefect_was_told_of_the_failures_without_them(ended: tuple[Clone, str]) -> None:
    database = next((ended[0].path / ".prefect").glob("*.db"))
    assert b"[hidden]" in database.read_bytes() or b"[key]" in database.read_bytes()
