"""Every key that ever vouched for a log, each with the sizes at which it was good.

The trusted root is the only thing a verifier believes beforehand; it comes by a way of its
own (`--trust FILE`) and nothing a receipt brings along is ever added to it. Keys that were
replaced stay in it for good, or the receipts they signed could no longer be judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from hub.errors import VerificationFailed
from hub.proof.checkpoint import (
    Checkpoint,
    OpenedCheckpoint,
    open_cosigned_checkpoint,
    parse_checkpoint_body,
)
from hub.proof.merkle import HASH_BYTES
from hub.proof.note import KeyType, VerifiedSignature, VerifierKey, parse_note
from hub.proof.policy import Policy
from hub.proof.strict import JsonObject, encode_base64, read_back
from hub.proof.timestamp_authority import (
    TimestampAuthority,
    format_instant,
    parse_instant,
    parse_timestamp_authorities,
)
from hub.proof.window import ALWAYS, Window, parse_window

TRUSTED_ROOT_MEDIA_TYPE = "application/vnd.lienthong.trusted-root.v1+json"
TRUSTED_ROOT_BYTES_MAX = 1 << 20
ROOT_KEYS_MAX = 32
_PROVEN_MAX = 4096
# The last second of the year 9999: a cosignature may state later ones, a datetime cannot.
_SECONDS_MAX = 253_402_300_799


class ConsistencyNeeded(VerificationFailed):
    """The evidence may well be good, but this piece alone cannot show it.

    Its log key has been closed at a larger size. Whoever stole that key can sign any tree
    below it, so the receipt counts only together with a consistency proof to the closing
    root. A caller that needs proof treats this as any other failure.
    """


class Purpose(StrEnum):
    """What a certificate authority's certificates are for; the two are never mixed."""

    SIGNING = "signing"
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class Closing:
    """The last tree a log key may have signed."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key of a log: good from `from_size` on, until `closed`, if it is."""

    key: VerifierKey
    from_size: int
    closed: Closing | None = None

    def vouch(self, checkpoint: Checkpoint) -> None:
        """Check that this key's signature on `checkpoint` falls into its window.

        Raises VerificationFailed(step="trust") for a size before the first or beyond the
        last, and for another root at the last; ConsistencyNeeded for a size below the last.
        """
        if checkpoint.size < self.from_size:
            raise _bad(f"the log key was not in use before size {self.from_size}")
        if self.closed is None:
            return
        if checkpoint.size > self.closed.size:
            raise _bad(f"the log key was closed at size {self.closed.size}, before this checkpoint")
        if checkpoint.size < self.closed.size:
            raise ConsistencyNeeded(
                f"the log key has since been closed at size {self.closed.size}: that the tree of"
                f" size {checkpoint.size} leads to the closing root needs a consistency proof,"
                " which a receipt does not hold",
                step="trust",
            )
        if checkpoint.root != self.closed.root:
            raise _bad(f"the log key was closed at size {self.closed.size} with another root")


@dataclass(frozen=True, slots=True)
class TrustedLog:
    """A log by its origin, and all the keys it ever had."""

    origin: str
    keys: tuple[LogKey, ...]


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The certificate, in DER, of an authority whose certificates agencies hold.

    Kept as bytes: nothing in this package builds chains. Inside `window` lies the time of what
    was signed under it, as the hub states it.
    """

    purpose: Purpose
    certificate: bytes
    window: Window = ALWAYS


@dataclass(frozen=True, slots=True)
class TrustedWitness:
    """A witness's key; inside `window` lies the time that a cosignature states of itself."""

    key: VerifierKey
    window: Window = ALWAYS


@dataclass(frozen=True, slots=True)
class RootKeys:
    """Whose signatures make the next edition: at least `threshold` of these offline keys.

    Ed25519 keys with a name each, in the form of verifier keys; no log and no witness has one.
    """

    threshold: int
    keys: tuple[VerifierKey, ...]


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """What a verifier believes. `version` counts the editions of the file, from 1.

    `policy` does not come from that file but from the verifier's own, and asks more of every
    checkpoint: that witnesses have seen it. Nor does `proven`: those are checkpoints of closed
    keys that were shown to lead to the closing roots, and so count as if they were these.
    """

    version: int
    logs: tuple[TrustedLog, ...]
    witnesses: tuple[TrustedWitness, ...] = ()
    certificate_authorities: tuple[CertificateAuthority, ...] = ()
    policy: Policy | None = None
    timestamp_authorities: tuple[TimestampAuthority, ...] = ()
    root_keys: RootKeys | None = None
    expires: datetime | None = None
    proven: frozenset[Checkpoint] = frozenset()

    def open_checkpoint(self, note_bytes: bytes) -> OpenedCheckpoint:
        """The checkpoint in a signed note, once a key that was good at its size vouches for it.

        1. Its origin is a log listed here. 2. Its signatures hold, those of listed witnesses
        included. 3. The policy is met, if there is one. 4. One of the log keys that signed it
        was in use at its size; where that needs consistency with a closing root, a quorum of
        the policy's witnesses stands in for it: they saw the tree grow.
        Raises VerificationFailed (step "note", "checkpoint", "policy" or "trust").
        """
        # (1), (2) A log listed here signed it.
        opened = self.open_signed(note_bytes)
        # (3) The policy is met.
        if self.policy is not None:
            self.policy.require(opened)
        # (4) One of the keys that signed it was in use at its size.
        try:
            self.require_in_use(opened)
        except ConsistencyNeeded:
            if self.policy is None or self.policy.quorum is None:
                raise
        return opened

    def open_signed(self, note_bytes: bytes) -> OpenedCheckpoint:
        """The checkpoint in a note that a listed log signed, whenever its key was in use.

        The first two steps of `open_checkpoint`: for whoever can show in another way that the
        tree is one the log vouches for. A cosignature counts at a time inside its witness's
        window. Raises VerificationFailed.
        """
        # (1) Which log it claims to be of only selects the keys it is then held against.
        origin = parse_checkpoint_body(parse_note(note_bytes).text).origin
        log = self._log(origin)
        # (2) Its signatures hold.
        opened = open_cosigned_checkpoint(
            note_bytes,
            log_keys=[log_key.key for log_key in log.keys],
            witness_keys=[*(each.key for each in self.witnesses), *self._policy_witnesses],
            origin=origin,
        )
        # (3) Those of witnesses outside their windows are set aside.
        counted = tuple(each for each in opened.cosignatures if self._counts(each))
        aside = tuple(each for each in opened.cosignatures if each not in counted)
        return replace(opened, cosignatures=counted, uncounted=aside)

    def uncounted(self, opened: OpenedCheckpoint) -> list[str]:
        """A sentence on each witness whose cosignature does not count."""
        counted = {each.key for each in opened.cosignatures}
        said = {each.key: self._why_not(each) for each in opened.uncounted}
        return [sentence for key, sentence in said.items() if key not in counted]

    def require_in_use(self, opened: OpenedCheckpoint) -> None:
        """Check that one of the log keys that signed a checkpoint was in use at its size.

        Raises VerificationFailed(step="trust"), and ConsistencyNeeded for a key that has been
        closed at a larger one.
        """
        try:
            _require_one_vouches(self._signers(opened), opened.checkpoint)
        except ConsistencyNeeded:
            if opened.checkpoint not in self.proven:
                raise

    def closing_for(self, opened: OpenedCheckpoint) -> Closing | None:
        """The tree that a checkpoint of a closed key must lead to, the nearest if there are two."""
        closings = (log_key.closed for log_key in self._signers(opened))
        larger = (each for each in closings if each and each.size > opened.checkpoint.size)
        return min(larger, key=lambda closing: closing.size, default=None)

    def believing(self, checkpoint: Checkpoint) -> TrustedRoot:
        """This root, once a checkpoint was shown to lead to a closing root."""
        # Bounded: a client that runs for years may forget and have it shown again.
        kept = self.proven if len(self.proven) < _PROVEN_MAX else frozenset[Checkpoint]()
        return replace(self, proven=kept | {checkpoint})

    def _signers(self, opened: OpenedCheckpoint) -> list[LogKey]:
        log = self._log(opened.checkpoint.origin)
        return [log_key for log_key in log.keys if log_key.key in opened.signed_by]

    def lists(self, origin: str) -> bool:
        """Whether a log of this origin is, or ever was, one to trust."""
        return any(log.origin == origin for log in self.logs)

    def timestamp_authority(self, name: str) -> TimestampAuthority | None:
        """The time-stamping authority that is, or ever was, known by this name."""
        return next((each for each in self.timestamp_authorities if each.name == name), None)

    def format(self) -> bytes:
        """The file's bytes, one spelling for equal roots; ValueError if not well formed.

        Writes only what this version knows: never use it to rewrite somebody else's file.
        """
        document: dict[str, Any] = {
            "media_type": TRUSTED_ROOT_MEDIA_TYPE,
            "version": self.version,
            "logs": [_log_members(log) for log in self.logs],
            "witnesses": [each.key.format() for each in self.witnesses],
            "certificate_authorities": [
                {"purpose": ca.purpose, "certificate": encode_base64(ca.certificate)}
                | ca.window.members()
                for ca in self.certificate_authorities
            ],
        }
        # Beside the keys, which verifiers from before there were windows read as a list of text.
        windows = [
            {"vkey": each.key.format()} | each.window.members()
            for each in self.witnesses
            if each.window != ALWAYS
        ]
        if windows:
            document["witness_windows"] = windows
        # Editions from before there were any stay as they are, byte for byte.
        if self.timestamp_authorities:
            document["timestamp_authorities"] = [
                authority.members() for authority in self.timestamp_authorities
            ]
        if self.root_keys is not None:
            document["root_keys"] = {
                "threshold": self.root_keys.threshold,
                "keys": [key.format() for key in self.root_keys.keys],
            }
        if self.expires is not None:
            document["expires"] = format_instant(self.expires)
        data = json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"
        return read_back(data, parse_trusted_root, replace(self, policy=None, proven=frozenset()))

    @property
    def _windows(self) -> dict[VerifierKey, Window]:
        return {each.key: each.window for each in self.witnesses}

    def _counts(self, cosignature: VerifiedSignature) -> bool:
        window = self._windows.get(cosignature.key, ALWAYS)
        return window.includes(_time_of(cosignature))

    def _why_not(self, cosignature: VerifiedSignature) -> str:
        at, key = _time_of(cosignature), cosignature.key
        return (
            f"The cosignature of {key.name} does not count: it is of {at:%Y-%m-%d %H:%M:%S} UTC,"
            f" when that witness {self._windows[key].why_not(at)}."
        )

    @property
    def _policy_witnesses(self) -> Iterable[VerifierKey]:
        return self.policy.witnesses.values() if self.policy else ()

    def _log(self, origin: str) -> TrustedLog:
        for log in self.logs:
            if log.origin == origin:
                return log
        raise _bad("the checkpoint is of a log that the trusted root does not list")


def parse_trusted_root(data: bytes) -> TrustedRoot:
    """Read a trusted root file of at most 1 MiB.

    Members it does not know are passed over, so that an old verifier reads a newer file;
    whatever must not be passed over comes with another media type, and that is refused.
    Raises VerificationFailed(step="trust").
    """
    root = JsonObject.parse(
        data, bytes_max=TRUSTED_ROOT_BYTES_MAX, what="the trusted root", step="trust"
    )
    if root.text("media_type") != TRUSTED_ROOT_MEDIA_TYPE:
        raise _bad(f"the trusted root is not of type {TRUSTED_ROOT_MEDIA_TYPE}")
    logs = tuple(_parse_log(log) for log in root.children("logs"))
    _require_distinct((log.origin for log in logs), "two logs of the trusted root share an origin")
    authorities = tuple(_parse_authority(ca) for ca in root.children("certificate_authorities"))
    _require_distinct(
        ((ca.purpose, ca.certificate) for ca in dict.fromkeys(authorities)),
        "the trusted root says two windows of one certificate authority",
    )
    return TrustedRoot(
        version=root.integer("version", minimum=1),
        logs=logs,
        witnesses=_parse_witnesses(root),
        certificate_authorities=authorities,
        timestamp_authorities=parse_timestamp_authorities(
            root.children("timestamp_authorities")
            if "timestamp_authorities" in root.members
            else []
        ),
        root_keys=_parse_root_keys(root.child("root_keys"))
        if "root_keys" in root.members
        else None,
        expires=parse_instant(root.text("expires")) if "expires" in root.members else None,
    )


def _parse_witnesses(root: JsonObject) -> tuple[TrustedWitness, ...]:
    keys = [_parse_key(vkey, KeyType.COSIGNATURE) for vkey in root.texts("witnesses")]
    _require_distinct_keys(keys)
    entries = root.children("witness_windows") if "witness_windows" in root.members else []
    vkeys = [entry.text("vkey") for entry in entries]
    _require_distinct(vkeys, "the trusted root says two windows of one witness")
    windows = {
        vkey: parse_window(entry, "a witness") for vkey, entry in zip(vkeys, entries, strict=True)
    }
    if ALWAYS in windows.values():
        raise _bad("the trusted root does not say the window of a witness")
    if not windows.keys() <= {key.format() for key in keys}:
        raise _bad("the trusted root says a window of a witness that it does not list")
    return tuple(TrustedWitness(key, windows.get(key.format(), ALWAYS)) for key in keys)


def _parse_root_keys(fields: JsonObject) -> RootKeys:
    keys = tuple(_parse_key(vkey, KeyType.ED25519) for vkey in fields.texts("keys"))
    # One holder under two names would count twice.
    _require_distinct((key.public_key for key in keys), "two root keys are the same")
    threshold = fields.integer("threshold", minimum=1)
    if not threshold <= len(keys) <= ROOT_KEYS_MAX:
        raise _bad(f"a trusted root has its threshold of root keys, and at most {ROOT_KEYS_MAX}")
    return RootKeys(threshold, keys)


def _parse_log(log: JsonObject) -> TrustedLog:
    origin = log.text("origin")
    keys = tuple(_parse_log_key(key, origin) for key in log.children("keys"))
    _require_distinct_keys([log_key.key for log_key in keys])
    return TrustedLog(origin, keys)


def _parse_log_key(fields: JsonObject, origin: str) -> LogKey:
    key = _parse_key(fields.text("vkey"), KeyType.ED25519)
    if key.name != origin:
        raise _bad("a log key of the trusted root is not named like its log")
    from_size = fields.integer("from_size", minimum=0)
    # A missing "closed" must not mean an open key: the word may have been cut away.
    if "closed" not in fields.members:
        raise _bad("a log key of the trusted root does not say whether it is closed")
    if fields.members["closed"] is None:
        return LogKey(key, from_size)
    closed = fields.child("closed")
    closing = Closing(closed.integer("size", minimum=from_size), closed.octets("root"))
    if len(closing.root) != HASH_BYTES:
        raise _bad("a closing root of the trusted root does not have 32 bytes")
    return LogKey(key, from_size, closing)


def _parse_key(vkey: str, key_type: KeyType) -> VerifierKey:
    try:
        key = VerifierKey.parse(vkey)
    except VerificationFailed as failure:
        raise _bad(f"the trusted root cannot be read: {failure}") from failure
    if key.key_type is not key_type:
        raise _bad("a key of the trusted root is of the other kind, log or witness")
    return key


def _parse_authority(fields: JsonObject) -> CertificateAuthority:
    try:
        purpose = Purpose(fields.text("purpose"))
    except ValueError as error:
        raise _bad("a certificate authority is neither for signing nor for transport") from error
    window = parse_window(fields, "a certificate authority")
    return CertificateAuthority(purpose, fields.octets("certificate"), window)


def _require_one_vouches(signers: Sequence[LogKey], checkpoint: Checkpoint) -> None:
    # During an overlap two keys sign; the one that stays vouches for both.
    failure = _bad("no log key of the trusted root signed the checkpoint")
    for log_key in signers:
        try:
            return log_key.vouch(checkpoint)
        except VerificationFailed as reason:
            failure = reason
    raise failure


def _require_distinct_keys(keys: Sequence[VerifierKey]) -> None:
    names = ((key.name, key.key_id) for key in keys)
    _require_distinct(names, "two keys of the trusted root share a name and a key id")


def _require_distinct(values: Iterable[object], message: str) -> None:
    seen = list(values)
    if len(set(seen)) != len(seen):
        raise _bad(message)


def _time_of(cosignature: VerifiedSignature) -> datetime:
    return datetime.fromtimestamp(min(cosignature.time or 0, _SECONDS_MAX), UTC)


def _log_members(log: TrustedLog) -> dict[str, Any]:
    return {"origin": log.origin, "keys": [_log_key_members(key) for key in log.keys]}


def _log_key_members(log_key: LogKey) -> dict[str, Any]:
    closed = log_key.closed
    return {
        "vkey": log_key.key.format(),
        "from_size": log_key.from_size,
        "closed": closed and {"size": closed.size, "root": encode_base64(closed.root)},
    }


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="trust")
