"""A sealed key opens for those it was sealed for, and says nothing to anybody else."""

import os
import stat
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys import age
from keys.age import (
    Identities,
    KeyNotProtected,
    KeyProtected,
    KeySecretWrong,
    RecipientsInvalid,
    read_plain,
    require_operators,
    seal,
)
from keys.custody import ContentCustody, new_content_key
from keys.file import (
    SECRET_MODE,
    KeyFileError,
    create_file,
    load_ed25519_key,
    private_key_pem,
    replace_file,
)
from tests.support.age import sealed_by_passphrase

FIRST, SECOND, STRANGER = (Identities.generate() for _ in range(3))
OPERATORS = FIRST.recipients + SECOND.recipients
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PLAIN = private_key_pem(KEY)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "log-key.pem"
    create_file(path, seal(PLAIN, OPERATORS), mode=SECRET_MODE)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(age.scrypt, "encrypt", sealed_by_passphrase)


@pytest.mark.parametrize("operator", [FIRST, SECOND], ids=["first", "second"])
def test_each_of_two_operators_opens_it_alone(sealed: Path, operator: Identities):
    assert operator.read(sealed) == PLAIN
    assert load_ed25519_key(sealed, operator.read).public_key() == KEY.public_key()


def test_the_content_key_comes_back_too(tmp_path: Path):
    text = new_content_key()
    create_file(tmp_path / "content-key", seal(text, OPERATORS), mode=SECRET_MODE)
    opened = ContentCustody.open(tmp_path / "content-key", SECOND.read)
    assert opened.wrap(bytes(32)) == ContentCustody.parse(tmp_path, text).wrap(bytes(32))


def test_nothing_of_the_key_stands_in_the_sealed_file(sealed: Path):
    assert b"PRIVATE KEY" not in sealed.read_bytes()
    assert sealed.read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")


def test_a_stranger_opens_nothing(sealed: Path):
    with pytest.raises(KeySecretWrong, match="sealed for others"):
        STRANGER.read(sealed)


def test_every_cut_file_is_refused(sealed: Path):
    whole = sealed.read_bytes()
    for end in range(40, len(whole) - 1, 37):
        sealed.write_bytes(whole[:end])
        with pytest.raises((KeyFileError, KeySecretWrong)):
            FIRST.read(sealed)


def test_every_changed_line_is_refused(sealed: Path):
    whole = sealed.read_bytes()
    lines = whole.splitlines(keepends=True)
    for number in range(1, len(lines) - 1):
        line = lines[number]
        changed = (b"A" if line[:1] != b"A" else b"B") + line[1:]
        sealed.write_bytes(b"".join([*lines[:number], changed, *lines[number + 1 :]]))
        with pytest.raises((KeyFileError, KeySecretWrong)) as refused:
            FIRST.read(sealed)
        assert str(sealed) in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_an_exposed_file_is_refused_although_it_is_sealed(sealed: Path, mode: int):
    sealed.chmod(mode)
    with pytest.raises(KeyFileError, match="lets others at it"):
        FIRST.read(sealed)


def test_plain_and_sealed_are_never_taken_for_each_other(sealed: Path, tmp_path: Path):
    create_file(tmp_path / "plain.pem", PLAIN, mode=SECRET_MODE)
    with pytest.raises(KeyNotProtected, match="keys protect"):
        FIRST.read(tmp_path / "plain.pem")
    with pytest.raises(KeyProtected, match="custody"):
        read_plain(sealed)


def test_a_passphrase_opens_the_identity_it_was_stored_with(tmp_path: Path, quick: None):
    FIRST.store(tmp_path / "identity.age", "mật khẩu dài")

    assert Identities.load(tmp_path / "identity.age", "mật khẩu dài").recipients == FIRST.recipients
    assert stat.S_IMODE((tmp_path / "identity.age").stat().st_mode) == SECRET_MODE


def test_a_wrong_passphrase_is_refused_and_not_repeated(tmp_path: Path, quick: None):
    FIRST.store(tmp_path / "identity.age", "right")
    with pytest.raises(KeySecretWrong) as refused:
        Identities.load(tmp_path / "identity.age", "very-wrong")
    assert "very-wrong" not in str(refused.value)


@pytest.mark.long
def test_a_passphrase_works_with_the_librarys_own_strength(tmp_path: Path):
    FIRST.store(tmp_path / "identity.age", "a passphrase")
    assert Identities.load(tmp_path / "identity.age", "a passphrase").recipients == FIRST.recipients


def test_a_machine_too_slow_for_the_passphrase_is_no_wrong_passphrase(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
):
    FIRST.store(tmp_path / "identity.age", "right")

    def refuse(data: bytes, passphrase: str) -> bytes:
        raise pyrage.DecryptError("Excessive work parameter for passphrase.")

    monkeypatch.setattr(age.scrypt, "decrypt", refuse)
    with pytest.raises(KeyFileError, match="too busy"):
        Identities.load(tmp_path / "identity.age", "right")


def test_an_identity_file_may_have_comments_and_several_identities():
    text = "".join(f"{identity}\n" for each in (FIRST, SECOND) for identity in each._identities)
    assert Identities.parse(f"# made today\n\n{text}").recipients == OPERATORS


@pytest.mark.parametrize(
    "text", ["", "# nothing", "AGE-SECRET-KEY-1QQQ", "hello\nAGE-SECRET-KEY-1"]
)
def test_what_is_no_identity_is_refused_and_not_repeated(text: str):
    with pytest.raises(KeySecretWrong) as refused:
        Identities.parse(text)
    assert "QQQ" not in str(refused.value)


def test_one_operator_is_not_enough():
    for recipients in ([], OPERATORS[:1], OPERATORS[:1] * 2):
        with pytest.raises(RecipientsInvalid, match="at least 2"):
            require_operators(recipients)
    require_operators(OPERATORS)


def test_a_mistyped_recipient_is_named():
    broken = OPERATORS[0][:-1] + ("q" if OPERATORS[0][-1] != "q" else "p")
    with pytest.raises(RecipientsInvalid, match="age1"):
        seal(b"x", [broken, OPERATORS[1]])


def test_an_identity_given_as_a_recipient_is_not_shown():
    secret = str(FIRST._identities[0])
    with pytest.raises(RecipientsInvalid) as refused:
        require_operators([secret, OPERATORS[1]])
    assert secret[20:] not in str(refused.value)


def test_identities_do_not_show_themselves():
    assert "AGE-SECRET" not in repr(FIRST) + str(FIRST) + repr(vars(FIRST))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "key"
    create_file(path, b"old", mode=SECRET_MODE)

    def power_cut(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", power_cut)
        with pytest.raises(KeyFileError, match="replaced"):
            replace_file(path, b"new", mode=SECRET_MODE)
    assert path.read_bytes() == b"old"

    replace_file(path, b"new", mode=SECRET_MODE)  # What was left is in nobody's way.
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == SECRET_MODE
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
