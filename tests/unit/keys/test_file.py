"""Secrets lie in files that only their owner can read, or they are not used."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from keys import file as files
from keys.file import (
    FILE_BYTES_MAX,
    SECRET_MODE,
    KeyFileError,
    create_file,
    create_private_key,
    load_ed25519_key,
    load_private_key,
    read_secret,
)


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ],
    ids=["ed25519", "p256", "rsa"],
)
def test_a_key_comes_back_as_it_went_in(tmp_path: Path, key: files.PrivateKey):
    create_private_key(tmp_path / "key.pem", key)
    assert load_private_key(tmp_path / "key.pem").public_key() == key.public_key()
    assert (tmp_path / "key.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_new_file_has_exactly_its_mode_whatever_the_umask(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        create_file(tmp_path / "secret", b"x", mode=SECRET_MODE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])
def test_a_secret_that_group_or_others_can_reach_is_refused(tmp_path: Path, mode: int):
    path = write(tmp_path / "secret", b"x", mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_of_its_owner_alone_is_read(tmp_path: Path, mode: int):
    assert read_secret(write(tmp_path / "secret", b"x", mode)) == b"x"


def test_a_file_is_never_overwritten(tmp_path: Path):
    path = write(tmp_path / "key.pem", b"precious")
    with pytest.raises(KeyFileError, match="exists already"):
        create_private_key(path, ed25519.Ed25519PrivateKey.generate())
    assert path.read_bytes() == b"precious"


def test_nothing_is_written_through_a_link(tmp_path: Path):
    (tmp_path / "key.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="exists already"):
        create_private_key(tmp_path / "key.pem", ed25519.Ed25519PrivateKey.generate())
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_is_synced_before_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
    )
    create_file(tmp_path / "secret", b"x", mode=SECRET_MODE)
    assert synced == ["secret", tmp_path.name]


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyFileError, match="No space left"):
        create_file(tmp_path / "secret", b"x", mode=SECRET_MODE)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_created_is_named(tmp_path: Path):
    with pytest.raises(KeyFileError, match="cannot be created: No such file"):
        create_file(tmp_path / "missing" / "secret", b"x", mode=SECRET_MODE)


def test_what_is_no_file_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(KeyFileError, match=str(path)):
            read_secret(path)


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path):
    assert len(read_secret(write(tmp_path / "full", b"x" * FILE_BYTES_MAX))) == FILE_BYTES_MAX
    with pytest.raises(KeyFileError, match="larger than 32768 bytes"):
        read_secret(write(tmp_path / "over", b"x" * (FILE_BYTES_MAX + 1)))


def test_an_encrypted_key_says_so(tmp_path: Path):
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(KeyFileError, match="encrypted"):
        load_private_key(write(tmp_path / "key.pem", pem))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hunter2",
        b"-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n",
        x25519.X25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    ],
    ids=["empty", "text", "torn", "another kind"],
)
def test_what_is_no_key_is_refused_without_repeating_it(tmp_path: Path, data: bytes):
    with pytest.raises(KeyFileError) as caught:
        load_private_key(write(tmp_path / "key.pem", data))
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_log_key_must_be_ed25519(tmp_path: Path):
    create_private_key(tmp_path / "log.pem", ed25519.Ed25519PrivateKey.generate())
    load_ed25519_key(tmp_path / "log.pem")
    create_private_key(tmp_path / "p256.pem", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(KeyFileError, match="another key than Ed25519"):
        load_ed25519_key(tmp_path / "p256.pem")
