"""Secrets are found where they are referred to, and are never part of what goes wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from galaxy_core.errors import SecretError
from galaxy_core.extension import secrets
from galaxy_core.extension.secrets import resolve_secret, resolve_settings
from galaxy_core.model.device import SecretRef

CANARY = "canary-9f2c"
on_posix = pytest.mark.skipif(os.name != "posix", reason="files of this system have no mode")


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[..., SecretRef]:
    def write(content: bytes | str, mode: int = 0o600) -> SecretRef:
        path = tmp_path / "secret"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return SecretRef(file=str(path))

    return write


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """What a keyring holds, by service and user."""
    held: dict[tuple[str, str], str] = {}
    module = ModuleType("keyring")
    vars(module)["get_password"] = lambda service, user: held.get((service, user))
    monkeypatch.setitem(sys.modules, "keyring", module)
    return held


def refusal(ref: SecretRef) -> SecretError:
    """The error of resolving `ref`, whose message and causes hold nothing of the secret."""
    with pytest.raises(SecretError) as caught:
        resolve_secret(ref)
    error = caught.value
    assert error.reference == str(ref)
    assert str(ref) in str(error)
    assert CANARY not in "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        assert CANARY not in repr(vars(link)) + repr(link.args) + repr(getattr(link, "object", ""))
        link = link.__cause__ or link.__context__
    return error


def test_a_secret_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFICE_PASSWORD", f" {CANARY}\n")
    assert resolve_secret(SecretRef(env="OFFICE_PASSWORD")) == f" {CANARY}\n"


def test_a_variable_that_is_not_set_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFFICE_PASSWORD", raising=False)
    assert str(refusal(SecretRef(env="OFFICE_PASSWORD"))) == (
        "secret env:OFFICE_PASSWORD: environment variable 'OFFICE_PASSWORD' is not set; set it before the start"
    )


def test_an_empty_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFICE_PASSWORD", "")
    assert "is empty" in str(refusal(SecretRef(env="OFFICE_PASSWORD")))


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (CANARY, CANARY),
        (f"{CANARY}\n", CANARY),
        (f"{CANARY}\r\n", CANARY),
        (f"{CANARY}\n\n", f"{CANARY}\n"),
        (f"{CANARY}\r", f"{CANARY}\r"),
        (f" {CANARY} \n", f" {CANARY} "),
        (f"\ufeff{CANARY}\n", CANARY),
        ("pässwörd\n", "pässwörd"),
    ],
)
def test_a_file_loses_one_newline_at_its_end_and_nothing_else(
    secret_file: Callable[..., SecretRef], content: str, secret: str
) -> None:
    assert resolve_secret(secret_file(content)) == secret


def test_a_file_may_be_in_the_home_folder(
    secret_file: Callable[..., SecretRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = secret_file(CANARY)
    assert ref.file is not None
    monkeypatch.setenv("HOME", str(Path(ref.file).parent))
    monkeypatch.setenv("USERPROFILE", str(Path(ref.file).parent))
    assert resolve_secret(SecretRef(file="~/secret")) == CANARY


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_file_is_an_error(secret_file: Callable[..., SecretRef], content: str) -> None:
    assert "the file is empty" in str(refusal(secret_file(content)))


def test_a_file_that_is_not_text_is_an_error_that_does_not_hold_its_content(
    secret_file: Callable[..., SecretRef],
) -> None:
    assert "not UTF-8" in str(refusal(secret_file(CANARY.encode() + b"\xff")))


def test_a_file_that_is_far_too_large_is_an_error(secret_file: Callable[..., SecretRef]) -> None:
    assert "is it the right one?" in str(refusal(secret_file(CANARY + "x" * secrets.MAX_SIZE_BYTES)))
    assert len(resolve_secret(secret_file("x" * secrets.MAX_SIZE_BYTES))) == secrets.MAX_SIZE_BYTES


@pytest.mark.parametrize("name", ["missing", "bad\0name"])
def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path, name: str) -> None:
    assert "check its path" in str(refusal(SecretRef(file=f"{tmp_path}/{name}")))


@on_posix
def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    assert "not a regular file" in str(refusal(SecretRef(file=str(tmp_path))))


@on_posix
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in str(refusal(SecretRef(file=str(tmp_path / "pipe"))))


@on_posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_file_of_ours_that_others_can_reach_is_refused_with_the_remedy(
    secret_file: Callable[..., SecretRef], mode: int
) -> None:
    ref = secret_file(CANARY, mode)
    assert f"(mode {mode:04o}); run: chmod 600 {ref.file}" in str(refusal(ref))


@on_posix
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_we_alone_can_reach_is_read(secret_file: Callable[..., SecretRef], mode: int) -> None:
    assert resolve_secret(secret_file(CANARY, mode)) == CANARY


@on_posix
def test_a_file_that_somebody_else_provides_is_read_whatever_its_mode(
    secret_file: Callable[..., SecretRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = secret_file(CANARY, 0o644)
    someone_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: someone_else)
    assert resolve_secret(ref) == CANARY


@on_posix
def test_a_file_on_a_read_only_file_system_is_read_whatever_its_mode(
    secret_file: Callable[..., SecretRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = secret_file(CANARY, 0o644)
    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert resolve_secret(ref) == CANARY


def test_a_secret_is_found_in_the_keyring_even_if_the_service_is_a_url(keyring: dict[tuple[str, str], str]) -> None:
    keyring["https://10.0.0.5:5986/wsman", "LAB\\operator"] = CANARY
    assert resolve_secret(SecretRef(keyring="https://10.0.0.5:5986/wsman/LAB\\operator")) == CANARY


def test_a_keyring_that_does_not_have_it_says_how_to_store_it(keyring: dict[tuple[str, str], str]) -> None:
    assert "keyring set lab operator" in str(refusal(SecretRef(keyring="lab/operator")))
    assert keyring == {}


@pytest.mark.parametrize("entry", ["lab", "lab/", "/operator", ""])
@pytest.mark.usefixtures("keyring")
def test_an_entry_of_the_keyring_needs_service_and_user(entry: str) -> None:
    assert '"service/user"' in str(refusal(SecretRef(keyring=entry)))


def test_a_keyring_that_raises_is_named_by_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyringLockedError(Exception):
        pass

    def get_password(service: str, user: str) -> str:
        raise KeyringLockedError

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password))
    error = refusal(SecretRef(keyring="lab/operator"))
    assert "did not answer: KeyringLockedError" in str(error)
    assert isinstance(error.__cause__, KeyringLockedError)


def test_without_the_keyring_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert 'pip install "galaxy-core[keyring]"' in str(refusal(SecretRef(keyring="lab/operator")))


def test_settings_get_their_secrets_at_any_depth_and_the_inventory_keeps_its_references(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OFFICE_PASSWORD", CANARY)
    ref = SecretRef(env="OFFICE_PASSWORD")
    settings: dict[str, Any] = {"port": 22, "password": ref, "jump": {"keys": [ref, "plain", (ref,)]}, "note": None}
    assert resolve_settings(settings) == {
        "port": 22,
        "password": CANARY,
        "jump": {"keys": [CANARY, "plain", [CANARY]]},
        "note": None,
    }
    assert settings["password"] is ref
    assert settings["jump"]["keys"][0] is ref


def test_settings_with_a_secret_that_cannot_be_had_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFFICE_PASSWORD", raising=False)
    with pytest.raises(SecretError, match="env:OFFICE_PASSWORD"):
        resolve_settings({"jump": {"password": SecretRef(env="OFFICE_PASSWORD")}})
