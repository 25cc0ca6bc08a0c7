"""Keys of documents: one each, stored before anything refers to it, gone when discarded."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from adapters.memory.determinism import CountedRandomness
from adapters.memory.document_keys import MemoryDocumentKeys, MemoryKeyCustody
from hub.application.sealing import SEAL_OVERHEAD_BYTES, seal, unseal
from hub.application.vault import Vault
from hub.errors import ContentLost

ONE, TWO = uuid4(), uuid4()


@pytest.fixture
def keys() -> MemoryDocumentKeys:
    return MemoryDocumentKeys()


@pytest.fixture
def vault(keys: MemoryDocumentKeys) -> Vault:
    return new_vault(keys)


def new_vault(keys: MemoryDocumentKeys) -> Vault:
    return Vault(keys, MemoryKeyCustody(), CountedRandomness())


def test_a_stored_key_is_found_by_a_vault_that_never_saw_it(keys, vault):
    key = vault.new_key()
    vault.store({ONE: key})

    assert new_vault(keys).key_of(ONE) == key
    assert keys.get(ONE) != key, "it lies there wrapped"


def test_a_new_key_is_stored_nowhere_until_it_is_needed(keys, vault):
    assert len(vault.new_key()) == 32
    assert vault.new_key() != vault.new_key()
    vault.store({})
    assert keys.get(ONE) is None


def test_a_key_that_is_gone_takes_its_payload_with_it(keys, vault):
    key = vault.new_key()
    vault.store({ONE: key})
    sealed = vault.seal_payload(ONE, bytes(32), b"words", key)
    assert vault.open_payload(sealed) == b"words"

    keys.discard([ONE])

    with pytest.raises(ContentLost):
        new_vault(keys).open_payload(sealed)


def test_a_payload_opens_only_in_its_own_place(vault):
    key = vault.new_key()
    vault.store({ONE: key, TWO: key})
    sealed = vault.seal_payload(ONE, bytes(32), b"words", key)

    for moved in (
        replace(sealed, exchange_id=TWO),
        replace(sealed, digest=bytes([1]) + bytes(31)),
        replace(sealed, sealed=sealed.sealed[:-1]),
        replace(sealed, sealed=b""),
        replace(sealed, sealed=bytes([sealed.sealed[0] ^ 1]) + sealed.sealed[1:]),
    ):
        with pytest.raises(ContentLost):
            vault.open_payload(moved)


def test_a_vault_remembers_a_bounded_number_of_keys(vault):
    vault.store({UUID(int=n): vault.new_key() for n in range(1500)})

    assert len(vault._cache) == 1024
    assert len(vault.key_of(UUID(int=0))) == 32


def test_a_seal_says_whether_anything_was_changed():
    key = bytes(32)
    sealed = seal(key, b"content", b"context", CountedRandomness())

    assert len(sealed) == len(b"content") + SEAL_OVERHEAD_BYTES
    assert unseal(key, sealed, b"context") == b"content"
    for number in range(len(sealed)):
        changed = bytearray(sealed)
        changed[number] ^= 1
        with pytest.raises(ContentLost):
            unseal(key, bytes(changed), b"context")
    for other_key, context in ((bytes([1]) + bytes(31), b"context"), (key, b"")):
        with pytest.raises(ContentLost):
            unseal(other_key, sealed, context)
