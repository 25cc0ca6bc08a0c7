"""Keys in a token never leave it; a token that is gone for a while costs nothing but time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hub.errors import ContentLost
from keys.age import KeySecretWrong
from keys.custody import ContentCustody
from keys.pkcs11 import CONTENT_KEY, LOG_KEY, Token, TokenCustody, TokenLogKey, TokenUnavailable
from tests.support.tokens import MODULE, PIN, SoftToken, soft_token

DOCUMENT_KEY = bytes(range(32))


@pytest.fixture
def soft(tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    return soft_token(tmp_path_factory)


@pytest.fixture
def token(soft: SoftToken) -> Token:
    token = Token(MODULE, soft.label, PIN)
    token.make_keys()
    return token


def test_what_the_log_key_signs_verifies_and_is_the_same_each_time(token: Token):
    key = TokenLogKey(token)
    signature = key.sign(b"a checkpoint")
    key.public_key().verify(signature, b"a checkpoint")
    assert key.sign(b"a checkpoint") == signature


def test_neither_key_can_be_read_from_the_token(token: Token):
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    def steal(session):
        for kind, label in (
            (ObjectClass.PRIVATE_KEY, LOG_KEY),
            (ObjectClass.SECRET_KEY, CONTENT_KEY),
        ):
            key = session.get_key(object_class=kind, label=label)
            with pytest.raises(pkcs11.AttributeSensitive):
                key[Attribute.VALUE]

    token.use(steal)


def test_keys_are_never_replaced(token: Token):
    before = TokenLogKey(token).public_key()
    with pytest.raises(TokenUnavailable, match="already"):
        token.make_keys()
    assert TokenLogKey(token).public_key() == before


def test_a_wrong_pin_is_tried_once_and_never_shown(soft: SoftToken):
    token = Token(MODULE, soft.label, "4321")
    for _ in range(10):
        with pytest.raises(KeySecretWrong) as refused:
            TokenLogKey(token).public_key()
        assert "4321" not in str(refused.value)
    Token(MODULE, soft.label, PIN).make_keys()  # It has not locked itself.


def test_a_token_that_is_not_there_is_named(soft: SoftToken):
    with pytest.raises(TokenUnavailable, match="no-such-token"):
        TokenLogKey(Token(MODULE, "no-such-token", PIN)).public_key()


def test_a_module_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(TokenUnavailable):
        TokenLogKey(Token(tmp_path / "missing.so", "token", PIN)).public_key()


def test_a_token_without_our_keys_is_no_signer(soft: SoftToken):
    with pytest.raises(TokenUnavailable, match="NoSuchKey"):
        TokenLogKey(Token(MODULE, soft.label, PIN)).sign(b"x")


def test_unplugged_and_put_back_it_signs_again(token: Token, soft: SoftToken):
    key, custody = TokenLogKey(token), TokenCustody(token)
    signature, wrapped = key.sign(b"x"), custody.wrap(DOCUMENT_KEY)
    soft.unplug()
    token.close()
    try:
        with pytest.raises(TokenUnavailable):
            key.sign(b"x")
        with pytest.raises(TokenUnavailable):
            custody.unwrap(wrapped)
    finally:
        soft.plug_in()
    assert key.sign(b"x") == signature
    assert custody.unwrap(wrapped) == DOCUMENT_KEY


def test_every_changed_byte_is_noticed_and_the_token_goes_on(token: Token):
    custody = TokenCustody(token)
    wrapped = custody.wrap(DOCUMENT_KEY)
    for n in (0, 7, 8, 39):
        with pytest.raises(ContentLost):
            custody.unwrap(wrapped[:n] + bytes([wrapped[n] ^ 1]) + wrapped[n + 1 :])
    assert custody.unwrap(wrapped) == DOCUMENT_KEY


def test_what_a_file_wrapped_is_not_opened_by_a_token(token: Token, tmp_path: Path):
    wrapped = ContentCustody.create(tmp_path / "key").wrap(DOCUMENT_KEY)
    with pytest.raises(ContentLost):
        TokenCustody(token).unwrap(wrapped)


def test_many_threads_use_it_at_once(token: Token):
    key, custody = TokenLogKey(token), TokenCustody(token)
    expected, wrong = key.sign(b"x"), []

    def work() -> None:
        for _ in range(20):
            if (
                key.sign(b"x") != expected
                or custody.unwrap(custody.wrap(DOCUMENT_KEY)) != DOCUMENT_KEY
            ):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
