"""Document keys can be stored anywhere once they are wrapped."""

import stat
from pathlib import Path

import pytest

from hub.errors import ContentLost
from keys.custody import ContentCustody
from keys.file import KeyFileError

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "content.key"


def test_a_wrapped_key_is_unwrapped_by_the_same_custody(path: Path):
    wrapped = ContentCustody.create(path).wrap(KEY)
    assert len(wrapped) == 40
    assert KEY not in wrapped
    assert ContentCustody.open(path).unwrap(wrapped) == KEY


def test_it_wraps_as_rfc_3394_says():
    """The test vector of section 4.6: 256 bits of key data under a 256-bit key."""
    data = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    assert ContentCustody(KEY).wrap(data).hex().upper() == (
        "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    )


def test_every_changed_byte_is_noticed(path: Path):
    custody = ContentCustody.create(path)
    wrapped = custody.wrap(KEY)
    for n in range(len(wrapped)):
        with pytest.raises(ContentLost, match="changed"):
            custody.unwrap(wrapped[:n] + bytes([wrapped[n] ^ 1]) + wrapped[n + 1 :])


@pytest.mark.parametrize("length", [0, 32, 39, 41, 48])
def test_another_length_is_refused(length: int):
    with pytest.raises(ContentLost, match="40 bytes"):
        ContentCustody(KEY).unwrap(bytes(length))


def test_another_custody_cannot_unwrap(tmp_path: Path):
    wrapped = ContentCustody.create(tmp_path / "a").wrap(KEY)
    with pytest.raises(ContentLost, match="another custody key"):
        ContentCustody.create(tmp_path / "b").unwrap(wrapped)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_only_keys_of_32_bytes_are_taken(length: int):
    with pytest.raises(ValueError, match="32 bytes"):
        ContentCustody(KEY).wrap(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        ContentCustody(bytes(length))


def test_the_key_file_belongs_to_its_owner_alone(path: Path):
    ContentCustody.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ContentCustody.open(path)


def test_a_key_is_never_replaced(path: Path):
    ContentCustody.create(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        ContentCustody.create(path)
    assert path.read_bytes() == before


def test_a_missing_key_is_not_made_up(path: Path):
    with pytest.raises(KeyFileError, match="cannot be read"):
        ContentCustody.open(path)


def test_a_torn_or_foreign_file_is_refused(path: Path):
    ContentCustody.create(path)
    text = path.read_bytes()
    for data in (b"", text[:-6], text[3:], text + text, b"\xff" * 40, text[:30] + b"!" + text[31:]):
        path.write_bytes(data)
        with pytest.raises(KeyFileError, match="not a content key file"):
            ContentCustody.open(path)
