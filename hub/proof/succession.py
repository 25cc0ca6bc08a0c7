"""From the trusted root one holds to the newest one: each edition is signed by the one before it.

As in The Update Framework (section 5.3, "Update the root role"): an edition counts when the
threshold of root keys of the edition before it *and* its own threshold have signed it. Root
keys lie offline; no hub has one, and a hub that was taken over can make no edition.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hub.errors import VerificationFailed
from hub.proof.dsse import pre_authentication_encoding
from hub.proof.note import VerifierKey
from hub.proof.strict import JsonObject, encode_base64, read_back
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import (
    ROOT_KEYS_MAX,
    TRUSTED_ROOT_BYTES_MAX,
    TRUSTED_ROOT_MEDIA_TYPE,
    LogKey,
    RootKeys,
    TrustedRoot,
    parse_trusted_root,
)
from hub.proof.window import Window

SIGNED_ROOT_MEDIA_TYPE = "application/vnd.lienthong.signed-trusted-root.v1+json"
# Base64 takes four bytes for three, and signatures some more.
SIGNED_ROOT_BYTES_MAX = TRUSTED_ROOT_BYTES_MAX * 3 // 2

_NAMES = frozenset({"media_type", "payload", "signatures"})
_SIGNATURE_NAMES = frozenset({"key", "signature"})


@dataclass(frozen=True, slots=True)
class RootSignature:
    """A signature by a root key over the edition's bytes, as DSSE signs them."""

    key: VerifierKey
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """An edition as it is handed out: its exact bytes, and who signed them."""

    payload: bytes
    signatures: tuple[RootSignature, ...]

    @property
    def root(self) -> TrustedRoot:
        """What it says; nothing is verified. Raises VerificationFailed(step="trust")."""
        return parse_trusted_root(self.payload)

    def format(self) -> bytes:
        """The file's bytes; ValueError where they could not be read back."""
        document = {
            "media_type": SIGNED_ROOT_MEDIA_TYPE,
            "payload": encode_base64(self.payload),
            "signatures": [
                {"key": each.key.format(), "signature": encode_base64(each.signature)}
                for each in self.signatures
            ],
        }
        data = json.dumps(document, indent=2).encode() + b"\n"
        return read_back(data, parse_signed_root, self)

    def signed_with(self, signature: RootSignature) -> SignedRoot:
        """The same with one more signature; the same again changes nothing."""
        others = tuple(each for each in self.signatures if each.key != signature.key)
        return replace(self, signatures=(*others, signature))

    def require_signed(self, keys: RootKeys, whose: str) -> None:
        """Check that so many of these keys signed it; a bad signature of one of them refutes it.

        Raises VerificationFailed(step="trust").
        """
        good = set()
        for each in self.signatures:
            if each.key in keys.keys:
                _verify(each, self.payload)
                good.add(each.key)
        if len(good) < keys.threshold:
            raise _bad(
                f"edition {self.root.version} of the trusted root is signed by {len(good)} root"
                f" keys of {whose}, and needs {keys.threshold}"
            )


def bytes_to_sign(payload: bytes) -> bytes:
    """What a root key signs (DSSE v1)."""
    return pre_authentication_encoding(TRUSTED_ROOT_MEDIA_TYPE, payload)


def parse_signed_root(data: bytes) -> SignedRoot:
    """Read a signed edition of at most 1.5 MiB and 32 signatures; nothing is verified yet.

    Raises VerificationFailed(step="trust").
    """
    what = "the signed trusted root"
    file = JsonObject.parse(data, bytes_max=SIGNED_ROOT_BYTES_MAX, what=what, step="trust")
    file.require_names(_NAMES)
    if file.text("media_type") != SIGNED_ROOT_MEDIA_TYPE:
        raise _bad(f"{what} is not of type {SIGNED_ROOT_MEDIA_TYPE}")
    signatures = file.children("signatures")
    if len(signatures) > ROOT_KEYS_MAX:
        raise _bad(f"{what} has more than {ROOT_KEYS_MAX} signatures")
    payload = file.octets("payload", bytes_max=TRUSTED_ROOT_BYTES_MAX)
    return SignedRoot(payload, tuple(map(_signature, signatures)))


def read_trusted_root(data: bytes) -> TrustedRoot:
    """The trusted root in a file that came by a way of its own, signed or plain.

    That it is the one to believe, its way must vouch for; a signed one must carry the
    signatures that it asks for itself. Raises VerificationFailed(step="trust").
    """
    if not is_signed_root(data):
        return parse_trusted_root(data)
    signed = parse_signed_root(data)
    root = signed.root
    signed.require_signed(_keys_of(root), "its own")
    return root


def is_signed_root(data: bytes) -> bool:
    """Whether a file says of itself that it is a signed edition."""
    try:
        what = "the trusted root"
        file = JsonObject.parse(data, bytes_max=SIGNED_ROOT_BYTES_MAX, what=what, step="trust")
        return file.text("media_type") == SIGNED_ROOT_MEDIA_TYPE
    except VerificationFailed:
        return False


def follow(held: TrustedRoot, editions: Iterable[bytes], *, at: datetime) -> TrustedRoot:
    """The newest edition that these lead to, from the one that is held.

    Each of them: 1. can be read; 2. is numbered one more than the one before it, so that none
    is left out and none comes back; 3. is signed by the threshold of root keys of the one
    before it; 4. and by its own; 5. keeps all that the one before it listed, and opens nothing
    that was closed. 6. The last of them, or the one held where there are none, has not expired.
    Raises VerificationFailed(step="trust"); what was held is then still to be believed, but
    for step 6.
    """
    newest = held
    for data in editions:
        newest = next_edition(newest, data)
    # (6) A hub that keeps back what came later must not do so for ever.
    if newest.expires is not None and at > newest.expires:
        raise _bad(
            f"edition {newest.version} of the trusted root ended on"
            f" {newest.expires.date().isoformat()}, and no later one was shown"
        )
    return newest


def next_edition(held: TrustedRoot, data: bytes) -> TrustedRoot:
    """Steps 1 to 5 of `follow`, for one edition."""
    # (1) It can be read.
    signed = parse_signed_root(data)
    new = signed.root
    # (2) None is left out, and none comes back.
    if new.version != held.version + 1:
        raise _bad(
            f"edition {new.version} of the trusted root does not follow edition {held.version}"
        )
    # (3) Signed by those that were believed,
    signed.require_signed(_keys_of(held), f"edition {held.version}")
    # (4) and by those that are to be believed from here on.
    signed.require_signed(_keys_of(new), "its own")
    # (5) What was signed decades ago must still be judged.
    _require_kept(held, new)
    return replace(new, policy=held.policy, proven=held.proven)


def _require_kept(old: TrustedRoot, new: TrustedRoot) -> None:
    logs = {log.origin: {key.key: key for key in log.keys} for log in new.logs}
    for log in old.logs:
        for key in log.keys:
            _require_key_kept(key, logs.get(log.origin, {}).get(key.key))
    _require_windows_kept(_witnesses(old), _witnesses(new), "a witness")
    _require_windows_kept(_authorities(old), _authorities(new), "a certificate authority")
    named = {each.name: each for each in new.timestamp_authorities}
    for authority in old.timestamp_authorities:
        _require_authority_kept(authority, named.get(authority.name))


def _require_key_kept(old: LogKey, new: LogKey | None) -> None:
    if new is None:
        raise _bad("the next edition of the trusted root leaves out a log key")
    if new.from_size != old.from_size or (old.closed and new.closed != old.closed):
        raise _bad("the next edition of the trusted root changes the window of a log key")


def _require_authority_kept(old: TimestampAuthority, new: TimestampAuthority | None) -> None:
    if new is None or not set(old.certificates) <= set(new.certificates):
        raise _bad("the next edition of the trusted root leaves out a time-stamping authority")
    if not Window(old.not_before, old.not_after).may_become(Window(new.not_before, new.not_after)):
        raise _bad("the next edition of the trusted root changes when an authority is trusted")


def _witnesses(root: TrustedRoot) -> dict[Hashable, Window]:
    return {each.key: each.window for each in root.witnesses}


def _authorities(root: TrustedRoot) -> dict[Hashable, Window]:
    return {(ca.purpose, ca.certificate): ca.window for ca in root.certificate_authorities}


def _require_windows_kept(
    old: Mapping[Hashable, Window], new: Mapping[Hashable, Window], what: str
) -> None:
    for listed, window in old.items():
        if listed not in new:
            raise _bad(f"the next edition of the trusted root leaves out {what}")
        if not window.may_become(new[listed]):
            raise _bad(f"the next edition of the trusted root opens the window of {what}")


def _keys_of(root: TrustedRoot) -> RootKeys:
    if root.root_keys is None:
        raise _bad(
            f"edition {root.version} of the trusted root names no root keys, so none can follow it:"
            " get the next one by a way of its own"
        )
    return root.root_keys


def _signature(fields: JsonObject) -> RootSignature:
    fields.require_names(_SIGNATURE_NAMES)
    try:
        key = VerifierKey.parse(fields.text("key", chars_max=400))
    except VerificationFailed as failure:
        raise _bad(f"the signed trusted root names an impossible key: {failure}") from failure
    return RootSignature(key, fields.octets("signature", bytes_max=64))


def _verify(each: RootSignature, payload: bytes) -> None:
    try:
        each.key.verify(bytes_to_sign(payload), each.signature)
    except VerificationFailed as failure:
        raise _bad(f"the signature of the root key {each.key.name} does not hold") from failure


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="trust")
