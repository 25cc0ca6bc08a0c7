"""The log keys and the content key in a PKCS#11 token: they are used there and never leave it.

Sessions must be shared neither by threads nor by processes: there is one, opened when it is
first needed, used by one thread at a time, and opened anew after whatever went wrong, for which
the whole library begins again: a process uses one token. The library is loaded only where a
token is configured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.errors import ContentLost
from keys.age import KeySecretWrong
from keys.checkpoint_signer import LogKey
from keys.custody import DOCUMENT_KEY_BYTES, WRAPPED_KEY_BYTES

LOG_KEY, CONTENT_KEY = "lienthong log key", "lienthong content key"

# PrintableString "edwards25519", which PKCS#11 3.0 section 2.3.10 wants for Ed25519.
_EDWARDS25519 = bytes.fromhex("130c656477617264733235353139")
_ED25519_BYTES = 32

T = TypeVar("T")


class TokenUnavailable(OSError):
    """The token is not there, refuses, or does not have what is asked of it; later it may."""


class Token:
    """A token by its module (a shared object) and label. Nothing is opened before it is used."""

    def __init__(self, module: Path, label: str, pin: str) -> None:
        self._module = module
        self._label = label
        self._pin = pin
        self._session: Any = None
        self._lock = threading.RLock()
        self._wrong_pin = False
        self._failed = False

    def use(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of an open session.

        Raises TokenUnavailable, and KeySecretWrong for a wrong PIN, which is tried only once:
        a token locks itself after a few.
        """
        import pkcs11

        with self._lock:
            try:
                return work(self._opened())
            except pkcs11.PinIncorrect:
                self._wrong_pin = True
                raise KeySecretWrong(f"the token {self._label!r} refuses the PIN") from None
            except RuntimeError as error:  # What the library's own errors are.
                # Gone, or taken out and put back: what we hold of it is worth nothing.
                self.close()
                self._failed = True
                words = f"the token {self._label!r}: {type(error).__name__}"
                raise TokenUnavailable(words) from error

    def close(self) -> None:
        """End the session; the next use opens another."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                _quietly(session.close)

    def make_keys(self) -> None:
        """New keys, which cannot be read from the token by anybody.

        Raises TokenUnavailable, also when the token has such keys: they are never replaced.
        """
        self.use(self._make_keys)

    def _opened(self) -> Any:
        import pkcs11

        if self._wrong_pin:
            raise KeySecretWrong(
                f"the token {self._label!r} has refused the PIN; it is not retried"
            )
        if self._session is None:
            library = pkcs11.lib(str(self._module))
            # A library looks for tokens once; make it look again.
            if self._failed or not self._is_listed(library):
                library.reinitialize()
            token = library.get_token(token_label=self._label)
            self._session = token.open(user_pin=self._pin, rw=True)
            self._failed = False
        return self._session

    def _is_listed(self, library: Any) -> bool:
        return bool(list(library.get_tokens(token_label=self._label)))

    def _make_keys(self, session: Any) -> None:
        import pkcs11
        from pkcs11 import Attribute, MechanismFlag

        if any(
            list(session.get_objects({Attribute.LABEL: label})) for label in (LOG_KEY, CONTENT_KEY)
        ):
            raise TokenUnavailable(f"the token {self._label!r} holds such keys already")
        _make_log_key(session, LOG_KEY)
        session.generate_key(
            pkcs11.KeyType.AES,
            256,
            store=True,
            label=CONTENT_KEY,
            capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
            template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )


class TokenLogKeys:
    """The port LogKeys over a token: those whose label begins as that of the first one."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def all(self) -> Sequence[TokenLogKey]:
        """Those there are, the oldest first. Raises TokenUnavailable, KeySecretWrong."""
        labels = self._token.use(_log_key_labels)
        return [TokenLogKey(self._token, label) for label in labels or [LOG_KEY]]

    def make(self) -> TokenLogKey:
        """One more, made in the token. Raises TokenUnavailable."""
        labels = self._token.use(_log_key_labels)
        label = f"{LOG_KEY} {max(map(_number, labels), default=0) + 1}"
        self._token.use(lambda session: _make_log_key(session, label))
        return TokenLogKey(self._token, label)

    def destroy(self, key: LogKey) -> None:
        """Destroy both halves in the token."""
        wanted = key.public_key()
        for held in self.all():
            if held.public_key() == wanted:
                self._token.use(partial(_destroy, label=held.label))


class TokenLogKey:
    """One Ed25519 key of the log in a token (CKM_EDDSA)."""

    def __init__(self, token: Token, label: str = LOG_KEY) -> None:
        self._token = token
        self.label = label
        self._known: Ed25519PublicKey | None = None

    def public_key(self) -> Ed25519PublicKey:
        """The public half, asked for once. Raises TokenUnavailable, KeySecretWrong."""
        if self._known is None:
            self._known = self._token.use(lambda session: _public_key(session, self.label))
        return self._known

    def sign(self, data: bytes, /) -> bytes:
        """64 bytes; the same for the same data (RFC 8032). Raises TokenUnavailable."""

        def sign(session: Any) -> bytes:
            from pkcs11 import Mechanism, ObjectClass

            key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=self.label)
            return bytes(key.sign(data, mechanism=Mechanism.EDDSA))

        return self._token.use(sign)


class TokenCustody:
    """The port KeyCustody over a token: AES Key Wrap (RFC 3394) with a key that stays there.

    The wrapped form is that of `ContentCustody`. Raises TokenUnavailable from both.
    """

    def __init__(self, token: Token) -> None:
        self._token = token

    def wrap(self, key: bytes) -> bytes:
        """A document key of 32 bytes, wrapped. Raises ValueError for another length."""
        if len(key) != DOCUMENT_KEY_BYTES:
            raise ValueError(f"a document key has {DOCUMENT_KEY_BYTES} bytes")
        return self._token.use(lambda session: _wrap(session, key))

    def unwrap(self, wrapped: bytes) -> bytes:
        """The document key. Raises ContentLost when it is not one that this token wrapped."""
        if len(wrapped) != WRAPPED_KEY_BYTES:
            raise ContentLost(f"a wrapped document key has {WRAPPED_KEY_BYTES} bytes")
        try:
            return self._token.use(lambda session: _unwrap(session, wrapped))
        except TokenUnavailable:
            # Tokens disagree on the error for a changed key. One that still wraps is well, so
            # it is the key that is not; one that does not raises again.
            self.wrap(bytes(DOCUMENT_KEY_BYTES))
            raise ContentLost(
                "the wrapped document key was changed, or another custody key wrapped it"
            ) from None


def _make_log_key(session: Any, label: str) -> None:
    from pkcs11 import Attribute, KeyType, Mechanism

    curve = session.create_domain_parameters(
        KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _EDWARDS25519}, local=True
    )
    curve.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
        store=True,
        label=label,
        private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    )


def _log_key_labels(session: Any) -> list[str]:
    from pkcs11 import Attribute, ObjectClass

    found = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
    labels = [str(each.label) for each in found if str(each.label).startswith(LOG_KEY)]
    return sorted(labels, key=_number)


def _number(label: str) -> int:
    """The first has no number."""
    number = label.removeprefix(LOG_KEY).strip()
    return int(number) if number.isascii() and number.isdigit() else 1


def _destroy(session: Any, label: str) -> None:
    from pkcs11 import Attribute

    for half in list(session.get_objects({Attribute.LABEL: label})):
        half.destroy()


def _public_key(session: Any, label: str) -> Ed25519PublicKey:
    from pkcs11 import Attribute, ObjectClass

    key = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label)
    # A DER octet string around the 32 bytes, or the bytes alone: modules differ.
    return Ed25519PublicKey.from_public_bytes(bytes(key[Attribute.EC_POINT])[-_ED25519_BYTES:])


def _wrap(session: Any, key: bytes) -> bytes:
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

    wrapping = session.get_key(object_class=ObjectClass.SECRET_KEY, label=CONTENT_KEY)
    document_key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.VALUE: key,
            Attribute.TOKEN: False,
            Attribute.SENSITIVE: False,
            Attribute.EXTRACTABLE: True,
        }
    )
    try:
        return bytes(wrapping.wrap_key(document_key, mechanism=Mechanism.AES_KEY_WRAP))
    finally:
        _quietly(document_key.destroy)


def _unwrap(session: Any, wrapped: bytes) -> bytes:
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

    wrapping = session.get_key(object_class=ObjectClass.SECRET_KEY, label=CONTENT_KEY)
    document_key = wrapping.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        wrapped,
        mechanism=Mechanism.AES_KEY_WRAP,
        store=False,
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    try:
        return bytes(document_key[Attribute.VALUE])
    finally:
        _quietly(document_key.destroy)


def _quietly(work: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # The token is gone, and what was in its session with it.
        work()
