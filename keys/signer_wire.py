"""What a hub and a signer's process say to each other: one question and one answer a connection.

Each is a length of four bytes, big-endian, and a JSON object of at most 16 KiB. Between two
machines TLS says which version of this they speak; nothing of it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hub.errors import LedgerMismatch, VerificationFailed
from hub.proof.note import VerifierKey
from hub.proof.strict import decode_base64, encode_base64
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import Signed, SignerConflict, SignerStoreError

LENGTH_BYTES = 4
MESSAGE_BYTES_MAX = 16 * 1024
# A consistency proof of a tree of 2^63 leaves has at most 64 hashes: 2.8 KiB in base64.


class MessageMalformed(Exception):
    """The other end says what this version does not understand."""


def frame(message: Mapping[str, Any]) -> bytes:
    """A message as it goes over the wire."""
    body = json.dumps(message).encode()
    if len(body) > MESSAGE_BYTES_MAX:
        raise MessageMalformed(f"a message has at most {MESSAGE_BYTES_MAX} bytes")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length_of(head: bytes) -> int:
    """How long the message is that begins so. Raises MessageMalformed."""
    length = int.from_bytes(head, "big")
    if len(head) != LENGTH_BYTES or not 0 < length <= MESSAGE_BYTES_MAX:
        raise MessageMalformed("the length of a message is missing or too large")
    return length


def parse(body: bytes) -> dict[str, Any]:
    """A message. Raises MessageMalformed."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise MessageMalformed("a message is a JSON object")
    return message


# --- Questions --------------------------------------------------------------------------

ASK_KEYS: Mapping[str, Any] = {"ask": "keys"}
ASK_LAST: Mapping[str, Any] = {"ask": "last"}
ASK_TO_MAKE: Mapping[str, Any] = {"ask": "make"}


def ask_to_sign(
    size: int, root: bytes, proof: Sequence[bytes], by: Sequence[VerifierKey]
) -> dict[str, Any]:
    """The question for signatures over a tree."""
    return {
        "ask": "sign",
        "size": size,
        "root": encode_base64(root),
        "proof": [encode_base64(each) for each in proof],
        "by": [key.format() for key in by],
    }


def ask_to_destroy(key: VerifierKey) -> dict[str, Any]:
    """The question that ends a key."""
    return {"ask": "destroy", "key": key.format()}


def answer(signer: CheckpointSigner, body: bytes) -> dict[str, Any]:
    """The answer to the body of a question; a refusal is an answer too."""
    try:
        return _answer(signer, parse(body))
    except LedgerMismatch as error:
        return {"error": "mismatch", "message": str(error), "position": error.position}
    except VerificationFailed as error:
        return {"error": "malformed", "message": str(error)}
    except (MessageMalformed, KeyError, TypeError, ValueError):
        return {"error": "malformed", "message": "the signer does not understand the question"}
    except (SignerConflict, SignerStoreError, OSError) as error:
        return {"error": "unable", "message": str(error)}


def _answer(signer: CheckpointSigner, question: Mapping[str, Any]) -> dict[str, Any]:
    match question["ask"]:
        case "keys":
            return {"keys": [key.format() for key in signer.keys]}
        case "make":
            return {"key": signer.make_key().format()}
        case "destroy":
            signer.destroy_key(VerifierKey.parse(_text(question, "key")))
            return {"keys": [key.format() for key in signer.keys]}
        case "last":
            last = signer.last
            found = last and {"size": last.size, "root": encode_base64(last.root)}
            return {"last": found, "origin": signer.verifier_key.name}
        case "sign":
            proof = [_bytes(each) for each in question["proof"]]
            size, root, by = _size(question["size"]), _bytes(question["root"]), question["by"]
            return {"note": signer.sign(size, root, proof, _keys(by)).decode()}
        case _:
            raise MessageMalformed("there is no such question")


# --- Answers ----------------------------------------------------------------------------


def note_in(message: Mapping[str, Any]) -> bytes:
    """The signed note. Raises MessageMalformed."""
    return _text(message, "note").encode()


def key_in(message: Mapping[str, Any]) -> VerifierKey:
    """The key that was made. Raises MessageMalformed."""
    (key,) = _keys([_text(message, "key")])
    return key


def keys_in(message: Mapping[str, Any]) -> tuple[VerifierKey, ...]:
    """The keys there are, at least one. Raises MessageMalformed."""
    if not (keys := _keys(message.get("keys"))):
        raise MessageMalformed("the signer's answer has no keys")
    return keys


def last_in(message: Mapping[str, Any]) -> Signed | None:
    """What the signer signed last. Raises MessageMalformed."""
    found = message.get("last", ...)
    try:
        if found is None:
            return None
        return Signed(_text(message, "origin"), _size(found["size"]), _bytes(found["root"]))
    except (KeyError, TypeError, ValueError, VerificationFailed, MessageMalformed):
        raise MessageMalformed("the signer's answer has no tree in it") from None


def position_in(message: Mapping[str, Any]) -> int | None:
    """The first event that differs, where a refusal names one."""
    position = message.get("position")
    return position if type(position) is int else None


def _keys(found: Any) -> tuple[VerifierKey, ...]:
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise MessageMalformed("keys are a list of texts")
    try:
        return tuple(VerifierKey.parse(each) for each in found)
    except VerificationFailed as failure:
        raise MessageMalformed(str(failure)) from failure


def _text(message: Mapping[str, Any], member: str) -> str:
    if not isinstance(text := message.get(member), str):
        raise MessageMalformed(f"the signer's answer has no {member}")
    return text


def _size(number: Any) -> int:
    # Not a bool, which Python counts among the integers.
    if type(number) is not int:
        raise MessageMalformed("a size is a number")
    return number


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise MessageMalformed("a hash is base64")
    return decode_base64(text, what="a hash", step="signer")
