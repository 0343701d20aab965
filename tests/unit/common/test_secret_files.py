"""A secret may be a file, as Docker and Kubernetes mount it; errors still name the variable."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common import secret_files
from libs.common.settings import EX_CONFIG, SettingsGroup, load


class Inner(SettingsGroup):
    """A group, which reads its own variables."""

    model_config = SettingsConfigDict(env_prefix="PARCELS_")

    token: SecretStr = Field(min_length=8, description="opens every parcel")
    weight_kg: float = 1.0


class Settings(SettingsGroup):
    """As a service has it."""

    inner: Inner = Field(default_factory=Inner)
    parcel_office: str = "Ghent"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PARCELS_TOKEN", "PARCELS_WEIGHT_KG", "PARCEL_OFFICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EX_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_every_variable_may_be_a_file(folder: Path) -> None:
    (folder / "PARCELS_TOKEN").write_text("from-a-file")
    (folder / "PARCELS_WEIGHT_KG").write_text("2.5\n")
    (folder / "PARCEL_OFFICE").write_text("Bruges\r\n")
    settings = load(Settings)
    assert settings.inner.token.get_secret_value() == "from-a-file"
    assert settings.inner.weight_kg == 2.5
    assert settings.parcel_office == "Bruges"


def test_the_environment_goes_before_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "PARCELS_TOKEN").write_text("from-a-file")
    monkeypatch.setenv("PARCELS_TOKEN", "from-the-environment")
    assert load(Settings).inner.token.get_secret_value() == "from-the-environment"


def test_an_empty_variable_leaves_it_to_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "PARCELS_TOKEN").write_text("from-a-file")
    monkeypatch.setenv("PARCELS_TOKEN", "")
    assert load(Settings).inner.token.get_secret_value() == "from-a-file"


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_file_counts_as_not_set(
    folder: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "PARCELS_TOKEN").write_bytes(content.encode())
    assert complaint(capsys) == "PARCELS_TOKEN is not set (opens every parcel)"


def test_a_wrong_file_is_named_and_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "PARCELS_TOKEN").write_text("hunter2")
    line = complaint(capsys)
    assert line.startswith("PARCELS_TOKEN is wrong: ")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe" * 8, "is not UTF-8"),
        (b"x" * (64 * 1024 + 1), "is longer than 64 KiB"),
        (b"\xef\xbb\xbfsome-secret", "begins with a byte order mark"),
        (b"some-secret\n\n", "has more than one line"),
        (b"some-secret\r\nanother", "has more than one line"),
        ("some-secret".encode("utf-16-le"), "holds control characters: is it UTF-16?"),
    ],
)
def test_a_file_that_is_no_secret_is_named(
    folder: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "PARCELS_TOKEN").write_bytes(content)
    assert complaint(capsys) == f"PARCELS_TOKEN is wrong: its file in {folder} {words}"


def test_a_file_that_may_not_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with a file of mode 0600 that belongs to somebody else; root may read it all the same."""
    (folder / "PARCELS_TOKEN").write_text("from-a-file")

    def refuse(self: Path, *_args: object, **_options: object) -> None:
        raise PermissionError(13, os.strerror(13), str(self))

    monkeypatch.setattr(Path, "open", refuse)
    expected = f"its file in {folder} can't be read: Permission denied"
    assert complaint(capsys) == f"PARCELS_TOKEN is wrong: {expected}"


def test_kubernetes_mounts_links(folder: Path) -> None:
    version = folder / "..2026_11_26"
    version.mkdir()
    (version / "PARCELS_TOKEN").write_text("behind-two-links")
    (folder / "..data").symlink_to(version.name)
    (folder / "PARCELS_TOKEN").symlink_to("..data/PARCELS_TOKEN")
    settings = load(Settings)
    assert settings.inner.token.get_secret_value() == "behind-two-links"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link that leads nowhere"])
def test_what_is_called_like_a_secret_and_is_no_file_is_told(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker makes a folder where a file to mount is missing: the secret is not just "not set"."""
    path = folder / "PARCELS_TOKEN"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("gone")
    assert complaint(capsys) == f"PARCELS_TOKEN is wrong: what is called so in {folder} is no file"


def test_a_file_that_is_called_like_a_group_is_none_of_ours(folder: Path) -> None:
    (folder / "PARCELS_TOKEN").write_text("from-a-file")
    (folder / "INNER").write_text("{}")
    assert load(Settings).inner.token.get_secret_value() == "from-a-file"


def test_a_folder_that_was_named_has_to_be_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(folder / "gone"))
    assert complaint(capsys) == "SECRETS_DIR is wrong: there is no such folder"


def test_without_a_name_the_usual_folder_is_taken_where_there_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRETS_DIR")
    monkeypatch.setattr(secret_files, "USUAL", folder / "gone")
    assert secret_files.secrets_folder({}) is None
    monkeypatch.setattr(secret_files, "USUAL", folder)
    (folder / "PARCELS_TOKEN").write_text("from-a-file")
    assert load(Settings).inner.token.get_secret_value() == "from-a-file"


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufeff"),
        min_size=1,
    ),
    end=st.sampled_from(["", "\n", "\r\n"]),
)
def test_a_secret_is_what_stands_there_but_for_the_last_line_break(
    tmp_path: Path, secret: str, end: str
) -> None:
    """Spaces at the ends are the secret's own: whoever made it may have meant them."""
    (tmp_path / "SECRET").write_bytes((secret + end).encode())
    assert secret_files.read(tmp_path, "SECRET") == secret
