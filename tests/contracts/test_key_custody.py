"""What every KeyCustody must do, whichever adapter provides it."""

from pathlib import Path

import pytest

from adapters.memory.document_keys import MemoryKeyCustody
from hub.application.ports import KeyCustody
from hub.errors import ContentLost
from keys.custody import ContentCustody


@pytest.fixture(params=["memory", "keys"])
def custody(request: pytest.FixtureRequest, tmp_path: Path) -> KeyCustody:
    if request.param == "memory":
        return MemoryKeyCustody()
    return ContentCustody.create(tmp_path / "content.key")


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
