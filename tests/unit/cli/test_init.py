"""A new project has the languages, the text and a recipe that fits them, or says what is wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from polylm_core.cli import init
from polylm_core.cli.own_recipe import Project, recipe_text
from polylm_core.cli.own_text import OwnText, read_pairs, read_texts
from polylm_core.errors import MachineError, ParamsError
from polylm_core.params import Params, load_params
from tests.architecture.closure import ROOT

SENTENCE = "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa, nambari"


def write_text(file: Path, lines: int = 400, between: str = "\n") -> Path:
    """Distinct sentences; with an empty line in between, blocks."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(between.join(f"{SENTENCE} {n}." for n in range(lines)) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout with the files of this one that a project begins with."""
    root = tmp_path_factory.mktemp("polylm") / "checkout"
    for name in ("params.yaml", "dvc.yaml", "dvc.lock", "Makefile", "README.md", ".gitignore"):
        root.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "infra/profiles", root / "infra/profiles")
    for source in ("udhr", "libreoffice-help", "chromium-l10n"):
        folder = root / "data/00_sources" / source
        folder.mkdir(parents=True)
        for name in ("source.yaml", "eng_Latn.txt.xz", "swh_Latn.txt.xz", "khm_Khmr.txt.xz"):
            if (ROOT / "data/00_sources" / source / name).is_file():
                shutil.copyfile(ROOT / "data/00_sources" / source / name, folder / name)
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "all")):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def made(text: OwnText) -> Params:
    """The recipe of a project of one text, as it is loaded."""
    folder = text.files[0].parent
    file = folder / "made.yaml"
    file.write_text(
        recipe_text(ROOT / "params.yaml", Project("my-lm", "CC0-1.0", [text])), encoding="utf-8"
    )
    return load_params(file)


def test_a_project_has_its_own_recipe_text_and_readme(checkout: Path, tmp_path: Path) -> None:
    given = write_text(tmp_path / "news.txt")
    folder = tmp_path / "my-lm"
    told = init.made(folder, [f"swh_Latn={given}"], [], "CC-BY-4.0", checkout)
    params = load_params(folder / "params.yaml")
    assert params.languages == ("eng_Latn", "swh_Latn")
    source = params.ingest.sources["own-swh_Latn"]
    assert source.license == "CC-BY-4.0"
    assert (folder / "data/00_sources/own-swh_Latn/news.txt").read_bytes() == given.read_bytes()
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# my-lm\n")
    assert not (folder / "dvc.lock").exists()
    assert told["text"][0]["documents"] == 400
    staged = subprocess.run(
        ["git", "status", "--porcelain"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert "A  data/00_sources/own-swh_Latn/news.txt" in staged
    assert all(line[1] == " " for line in staged)  # nothing is left for the first commit to miss


def test_what_the_default_recipe_says_of_its_18_languages_is_not_repeated(tmp_path: Path) -> None:
    text = read_texts([f"swh_Latn={write_text(tmp_path / 'a.txt')}"])[0]
    project = Project("my-lm", "CC0-1.0", [text])
    written = recipe_text(ROOT / "params.yaml", project)
    assert "18 of PolyLM" not in written
    assert "zho_Hans" not in written
    assert "# documents are kept whole" in written


@pytest.mark.parametrize(
    ("lines", "between", "document"),
    [(400, "\n", "line"), (400, "\n\n", "block"), (39, "\n\n", "")],
)
def test_a_document_is_what_there_is_enough_of(
    lines: int, between: str, document: str, tmp_path: Path
) -> None:
    given = f"swh_Latn={write_text(tmp_path / 'a.txt', lines, between)}"
    if document:
        assert read_texts([given])[0].document == document
    else:
        with pytest.raises(ParamsError, match=r"2,\d+ bytes in 39 documents are too little"):
            read_texts([given])


def test_a_folder_of_many_files_is_a_document_a_file(tmp_path: Path) -> None:
    for number in range(40):
        write_text(tmp_path / f"texts/{number}.txt", lines=20)
    text = read_texts([f"swh_Latn={tmp_path / 'texts'}"])[0]
    assert (text.document, text.documents) == ("file", 40)


def test_little_text_is_not_repeated_more_than_the_mixture_allows(tmp_path: Path) -> None:
    few = made(read_texts([f"swh_Latn={write_text(tmp_path / 'few/a.txt', 400)}"])[0])
    many = made(read_texts([f"swh_Latn={write_text(tmp_path / 'many/a.txt', 40_000)}"])[0])
    for params, characters in ((few, 26_000), (many, 2_600_000)):
        for stage in params.mix.stages:
            drawn = params.mix.tokens_of(stage) * (stage.non_english_share or 0)
            assert drawn <= 4 * 0.13 * characters
    assert many.mix.tokens > few.mix.tokens
    assert many.mix.stages[1].non_english_share == 0.6


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    latin = tmp_path / "latin1.txt"
    latin.write_bytes("größer\n".encode("latin-1") * 5000)
    with pytest.raises(ParamsError) as told:
        read_texts(["swahili=x.txt", "swh_Latn=none.txt", f"epo_Latn={latin}", "news.txt"])
    messages = "\n".join(map(str, told.value.problems))
    for part in ("unknown language 'swahili'", "no such file", "not UTF-8 at byte 2", "LANGUAGE="):
        assert part in messages


def test_pairs_that_cannot_be_read_are_not_said_to_be_empty(tmp_path: Path) -> None:
    latin = tmp_path / "pairs.tsv"
    latin.write_bytes("bigger\tgrößer\n".encode("latin-1"))
    with pytest.raises(ParamsError, match="not UTF-8 at byte 9") as told:
        read_pairs([f"deu_Latn={latin}"])
    assert len(told.value.problems) == 1


def test_english_alone_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="none in a language besides English"):
        read_texts([f"eng_Latn={write_text(tmp_path / 'a.txt')}"])


def test_a_language_without_pairs_says_how_to_give_them(checkout: Path, tmp_path: Path) -> None:
    given = [f"kas_Arab={write_text(tmp_path / 'a.txt')}"]
    with pytest.raises(ParamsError, match="--pairs kas_Arab=FILE"):
        init.made(tmp_path / "my-lm", given, [], "CC0-1.0", checkout)
    assert not (tmp_path / "my-lm").exists()
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"Sentence {n}\t{SENTENCE} {n}\n" for n in range(300)))
    init.made(tmp_path / "my-lm", given, [f"kas_Arab={pairs}"], "CC0-1.0", checkout)
    source = load_params(tmp_path / "my-lm/params.yaml").ingest.sources["own-pairs-kas_Arab"]
    assert source.format == "tsv"


def test_pairs_of_another_form_are_named_by_their_line(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("one\tmoja\ntwo mbili\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"1 lines are not English.*line 2"):
        read_pairs([f"swh_Latn={file}"])


def test_pairs_that_are_not_there_are_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "empty.tsv").write_text("\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    given = [f"swh_Latn={tmp_path / 'none.tsv'}", f"kas_Arab={tmp_path / 'empty.tsv'}"]
    with pytest.raises(ParamsError) as told:
        read_pairs([*given, f"epo_Latn={tmp_path / 'folder'}"])
    messages = "\n".join(map(str, told.value.problems))
    for part in ("no such file", "has no line with text", "a folder without .txt files"):
        assert part in messages


def test_a_folder_that_is_there_and_a_checkout_without_git_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="is there already"):
        init.made(tmp_path, [], [], "CC0-1.0")
    given = [f"swh_Latn={write_text(tmp_path / 'a.txt')}"]
    (tmp_path / "copy/data/00_sources").mkdir(parents=True)
    (tmp_path / "copy/data/00_sources/udhr").symlink_to(ROOT / "data/00_sources/udhr")
    with pytest.raises(MachineError, match="is no git checkout"):
        init.made(tmp_path / "my-lm", given, [], "CC0-1.0", tmp_path / "copy")


def test_a_checkout_with_another_recipe_is_told_what_a_project_is_made_from(
    checkout: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(checkout, other)
    shutil.copyfile(ROOT / "recipes/bayling2-laptop.yaml", other / "params.yaml")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *identity, "commit", "-qam", "Use BayLing's"], cwd=other, check=True)
    given = [f"swh_Latn={write_text(tmp_path / 'news.txt')}"]
    with pytest.raises(ParamsError, match="it is not the default recipe, which a project's is"):
        init.made(tmp_path / "my-lm", given, [], "CC0-1.0", other)
    assert not (tmp_path / "my-lm").exists()
    assert not list(tmp_path.glob(".*.partial"))
