"""What every KeyCustody must do, whichever adapter provides it."""

from pathlib import Path

import pytest

from adapters.memory.document_keys import MemoryKeyCustody
from hub.application.ports import KeyCustody
from hub.errors import ContentLost
from keys.age import Identities, seal
from keys.custody import ContentCustody, new_content_key
from keys.file import SECRET_MODE, create_file
from keys.pkcs11 import Token, TokenCustody
from tests.support.tokens import MODULE, PIN, soft_token

OPERATORS = Identities.generate(), Identities.generate()


@pytest.fixture(params=["memory", "file", "age", "pkcs11"])
def custody(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> KeyCustody:
    if request.param == "memory":
        return MemoryKeyCustody()
    if request.param == "pkcs11":
        token = Token(MODULE, soft_token(tmp_path_factory).label, PIN)
        token.make_keys()
        return TokenCustody(token)
    path = tmp_path / "content-key"
    if request.param == "file":
        return ContentCustody.create(path)
    recipients = [each for operator in OPERATORS for each in operator.recipients]
    create_file(path, seal(new_content_key(), recipients), mode=SECRET_MODE)
    return ContentCustody.open(path, OPERATORS[0].read)


def test_a_key_comes_back_as_it_was_wrapped(custody: KeyCustody):
    key = bytes(range(32))

    wrapped = custody.wrap(key)

    assert key not in wrapped
    assert custody.unwrap(wrapped) == key


def test_a_changed_or_cut_key_is_refused(custody: KeyCustody):
    wrapped = custody.wrap(bytes(32))

    for broken in (wrapped[:-1], b"", bytes([wrapped[0] ^ 1]) + wrapped[1:]):
        with pytest.raises(ContentLost):
            custody.unwrap(broken)


def test_only_whole_keys_are_wrapped(custody: KeyCustody):
    with pytest.raises(ValueError, match="32 bytes"):
        custody.wrap(bytes(31))
