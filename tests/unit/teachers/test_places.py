"""Where teachers are: what the profile and the environment have to say, told before a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.errors import MachineError, TeacherError
from polylm_core.settings import Endpoint, Profile
from polylm_core.teachers.config import FolderTeacher
from polylm_core.teachers.places import endpoint_of, folder_of, key_of, require_place
from tests.unit.teachers.asking import KEY_VARIABLE, make_config, make_endpoint

ENDPOINT = make_endpoint("http://localhost:8000/v1")
FOLDER = FolderTeacher(
    kind="folder", source="tiny", fingerprint="0" * 64, form="chat", license="Apache-2.0"
)


def test_an_endpoint_the_profile_does_not_name_is_told() -> None:
    known = {"other": Endpoint(address="http://localhost:8000/v1/")}
    assert known["other"].address.endswith("/v1")
    with pytest.raises(TeacherError, match=r"'teacher' answers \(known: other\)"):
        endpoint_of(make_config(), known)


@pytest.mark.parametrize(
    "address", ["localhost:8000", "http://user:secret@host/v1", "https://host/v1?key=secret"]
)
def test_an_address_may_hold_no_credentials(address: str) -> None:
    with pytest.raises(ValueError, match=r"has to begin|may not hold"):
        Endpoint(address=address)


@pytest.mark.parametrize("key", ["", "  ", "sk-\x07bell"])
def test_a_key_that_cannot_be_one_is_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(MachineError, match="TEACHER_KEY") as caught:
        key_of(make_config(), ENDPOINT)
    assert "bell" not in str(caught.value)


def test_a_key_is_taken_without_the_space_around_it_and_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, " sk-secret\n")
    key = key_of(make_config(), ENDPOINT)
    assert key is not None
    assert key.get_secret_value() == "sk-secret"
    assert "secret" not in f"{key} {key!r}"


def test_an_endpoint_may_want_no_key() -> None:
    assert key_of(make_config(), ENDPOINT.model_copy(update={"key_variable": None})) is None


def test_a_folder_nobody_placed_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="does not say where the teacher 'tiny' lies"):
        folder_of(FOLDER, {})
    for location in (str(tmp_path), "s3://bucket/model"):
        with pytest.raises(TeacherError, match=r"source_locations\.tiny"):
            folder_of(FOLDER, {"tiny": location})
    (tmp_path / "config.json").touch()
    assert folder_of(FOLDER, {"tiny": f"file://{tmp_path}"}) == tmp_path


def test_a_profile_is_held_against_the_recipe_s_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile(endpoints={"teacher": ENDPOINT})
    monkeypatch.setenv(KEY_VARIABLE, "sk-1")
    require_place(make_config(), profile)
    with pytest.raises(TeacherError, match="add its address"):
        require_place(make_config(), Profile())
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(MachineError, match="set the environment variable TEACHER_KEY"):
        require_place(make_config(), profile)
    with pytest.raises(TeacherError, match="source_locations"):
        require_place(FOLDER, profile)
