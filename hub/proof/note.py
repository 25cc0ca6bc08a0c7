"""A text with signature lines below it: the C2SP signed-note format.

Sources: c2sp.org/signed-note and c2sp.org/tlog-cosignature. A note is *parsed* first and
*verified* later, under keys the caller already trusts; until then its text means nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.errors import VerificationFailed
from hub.proof.strict import (
    INTEGER_MAX,
    decode_base64,
    decode_utf8,
    encode_base64,
    read_back,
)

NOTE_BYTES_MAX = 1 << 20
# The specification asks for at least 16; the reference implementation in Go stops at 100.
SIGNATURES_MAX = 100
NAME_CHARACTERS_MAX = 255

_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_ED25519_KEY_BYTES = 32
_ED25519_SIGNATURE_BYTES = 64
_EM_DASH = "\N{EM DASH}"
_CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f]")  # All below U+0020 but the newline.
_KEY_ID_HEX = re.compile(r"[0-9a-f]{8}")


class KeyType(IntEnum):
    """What a key signs, by the type byte of signed-note; every other type is unknown here."""

    ED25519 = 0x01  # The note text itself: a log's key.
    COSIGNATURE = 0x04  # cosignature/v1, the note text with a time: a witness's key.


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name, as a verifier is told of it beforehand.

    `public_key` is the 32-byte Ed25519 key. Raises VerificationFailed(step="key") for a
    name or key that no signature line could carry.
    """

    name: str
    key_type: KeyType
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise VerificationFailed("a key name is empty, or has spaces or a plus", step="key")
        if len(self.public_key) != _ED25519_KEY_BYTES:
            raise VerificationFailed("an Ed25519 public key has 32 bytes", step="key")

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read `name+hex8+base64(type ‖ key)`; the key id in it must be this key's own."""
        parts = vkey.split("+", 2)  # The base64 may contain a plus; the name may not.
        if len(parts) != 3 or not _KEY_ID_HEX.fullmatch(parts[1]):
            raise VerificationFailed("a verifier key is not name+id+key", step="key")
        name, key_id, encoded = parts
        typed_key = decode_base64(encoded, what="a verifier key", step="key")
        key = cls(name, _key_type(typed_key[:1]), typed_key[1:])
        if key.key_id.hex() != key_id:
            raise VerificationFailed("a verifier key has another key's id", step="key")
        return key

    def format(self) -> str:
        """The vkey text, which `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(self._typed_key)}"

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key).

        A label, not a fingerprint: anyone can make a key with the same id, and all they
        win is a signature that fails.
        """
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed_key).digest()[:4]

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Check a signature by this key over a note text, without the key id before it.

        Returns the witness's time in POSIX seconds for a cosignature, None otherwise.
        Raises VerificationFailed(step="note").
        """
        time = None
        if self.key_type is KeyType.COSIGNATURE:
            time = int.from_bytes(signature[:_TIME_BYTES], "big")
            text = cosignature_message(text, time=time)
            signature = signature[_TIME_BYTES:]
        if len(signature) != _ED25519_SIGNATURE_BYTES:
            raise VerificationFailed(f"a signature of {self.name} has a wrong length", step="note")
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except (InvalidSignature, ValueError) as error:
            raise VerificationFailed(
                f"a signature of {self.name} does not fit the note", step="note"
            ) from error
        return time

    @property
    def _typed_key(self) -> bytes:
        return bytes([self.key_type]) + self.public_key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line as it stands, verified by nobody.

    `signature` is what follows the 4-byte `key_id`; a cosignature begins with its time.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text, ending in a newline, and the signature lines below it, in their order."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that holds, by a known key; `time` is a witness's, in POSIX seconds."""

    key: VerifierKey
    time: int | None


def is_key_name(name: str) -> bool:
    """Whether a signature line can carry this name: not empty, no Unicode space, no plus.

    Control characters are refused as well, since a note holding one is no note.
    """
    return 0 < len(name) <= NAME_CHARACTERS_MAX and not any(
        sign == "+" or sign.isspace() or sign < " " or "\ud800" <= sign <= "\udfff" for sign in name
    )


def cosignature_message(text: bytes, *, time: int) -> bytes:
    """The bytes a witness signs: it saw this checkpoint `time` seconds after the epoch.

    The first line keeps a cosignature from ever passing for a log's own signature. Raises
    VerificationFailed(step="note") for a time outside 0 to 2^63 - 1 (tlog-cosignature).
    """
    if not 0 <= time <= INTEGER_MAX:
        raise VerificationFailed("a cosignature's time is beyond 2^63 - 1", step="note")
    return b"cosignature/v1\ntime %d\n" % time + text


def parse_note(data: bytes) -> Note:
    """Read a signed note of at most 1 MiB and 100 signatures; nothing is verified yet.

    Raises VerificationFailed(step="note"): bad UTF-8, a control character other than the
    newline, no signatures, or a line that is not *em dash, name, base64*.
    """
    if len(data) > NOTE_BYTES_MAX:
        raise _bad(f"it is larger than {NOTE_BYTES_MAX} bytes")
    decode_utf8(data, what="the note", step="note")
    if _CONTROLS.search(data):
        raise _bad("it has control characters")
    # The text may itself have empty lines: the last one ends it.
    split = data.rfind(b"\n\n")
    if split < 0:
        raise _bad("no empty line ends its text")
    # Counted before anything is made of them: a hostile note has a million of them.
    if data.count(b"\n", split + 2) > SIGNATURES_MAX:
        raise _bad(f"it has more than {SIGNATURES_MAX} signatures")
    text, lines = data[: split + 1], data[split + 2 :].decode().split("\n")
    if lines.pop() or not lines:
        raise _bad("it does not end in whole signature lines")
    return Note(text, tuple(_parse_line(line) for line in lines))


def format_note(note: Note) -> bytes:
    """The note's bytes. Raises ValueError for a note that `parse_note` would refuse."""
    lines = "".join(
        f"{_EM_DASH} {line.name} {encode_base64(line.key_id + line.signature)}\n"
        for line in note.signatures
    )
    return read_back(note.text + b"\n" + lines.encode(), parse_note, note)


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifiedSignature, ...]:
    """The signatures by these keys, all of which hold; at least one.

    Lines by unknown keys are ignored, a shared name or a shared key id alone included: that
    is how logs change keys and how witnesses join. One bad signature by a known key rejects
    the whole note, since that key's owner never made this note. Every line of a known key is
    checked; the same line twice counts once, and a witness that signed at two times counts
    with both. Raises VerificationFailed(step="note").
    """
    known = _by_name_and_id(keys)
    verified: dict[VerifiedSignature, None] = {}  # A set that keeps the order of the lines.
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None:
            verified[VerifiedSignature(key, key.verify(note.text, line.signature))] = None
    if not verified:
        raise VerificationFailed("no known key signed the note", step="note")
    return tuple(verified)


def _by_name_and_id(keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        # Which of two such keys a line means cannot be told, and none is tried in turn.
        if known.setdefault((key.name, key.key_id), key) != key:
            raise VerificationFailed(f"two keys of {key.name} share one key id", step="note")
    return known


def _parse_line(line: str) -> NoteSignature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _EM_DASH or not is_key_name(parts[1]):
        raise _bad("a signature line is not: em dash, key name, base64")
    data = decode_base64(parts[2], what="a signature line of the note", step="note")
    if len(data) <= _KEY_ID_BYTES:
        raise _bad("a signature line has no signature")
    return NoteSignature(parts[1], data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def _key_type(type_byte: bytes) -> KeyType:
    try:
        return KeyType(int.from_bytes(type_byte, "big"))
    except ValueError as error:
        raise VerificationFailed("a verifier key has an unknown type", step="key") from error


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the note cannot be read: {why}", step="note")
