"""Which witnesses must have seen a checkpoint before it counts: C2SP tlog-policy.

Source: c2sp.org/tlog-policy. A policy is the verifier's own, like the trusted root; nothing
that a receipt brings along ever changes it. Witnesses and groups have names of their own
here, which are octets and mean nothing outside the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from hub.errors import VerificationFailed
from hub.proof.checkpoint import OpenedCheckpoint
from hub.proof.note import KeyType, VerifiedSignature, VerifierKey
from hub.proof.strict import decode_utf8

POLICY_BYTES_MAX = 1 << 18
# Of logs, of witnesses and of groups, each. The specification asks for at least 32; a note
# has room for a hundred signatures.
MEMBERS_MAX = 100

_SPACE = re.compile(rb"[ \t]+")
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_NUMBER = re.compile(rb"[1-9][0-9]{0,8}")
_NOBODY = b"none"


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these names must have witnessed; each is a witness's or another group's."""

    threshold: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. `groups` stand in the order of the file: each names only earlier ones.

    `quorum` is the name of a witness or group, or None where no cosignature is asked for.
    Without `logs`, the logs are known from elsewhere.
    """

    logs: tuple[VerifierKey, ...]
    witnesses: dict[bytes, VerifierKey]
    groups: dict[bytes, Group]
    quorum: bytes | None

    def met_by(self, cosigners: Collection[VerifierKey]) -> bool:
        """Whether the quorum is reached when exactly these witnesses cosigned."""
        if self.quorum is None:
            return True
        reached = {name for name, key in self.witnesses.items() if key in cosigners}
        for name, group in self.groups.items():
            if sum(member in reached for member in group.members) >= group.threshold:
                reached.add(name)
        return self.quorum in reached

    def require(self, opened: OpenedCheckpoint) -> None:
        """Check that one of the policy's logs signed a checkpoint and that its quorum cosigned.

        Raises VerificationFailed(step="policy").
        """
        if self.logs and not set(self.logs) & set(opened.signed_by):
            raise VerificationFailed("no log of the policy signed the checkpoint", step="policy")
        if not self.met_by({each.key for each in opened.cosignatures}):
            by = self._names(opened.cosignatures) or "none of them"
            aside = self._names(opened.uncounted)
            raise VerificationFailed(
                "the policy's quorum of witnesses is not reached: the checkpoint was cosigned by"
                f" {by}" + (f", and when it did not count by {aside}" if aside else ""),
                step="policy",
            )

    def _names(self, cosignatures: Iterable[VerifiedSignature]) -> str:
        keys = {each.key for each in cosignatures}
        return ", ".join(sorted(key.name for key in self.witnesses.values() if key in keys))


def parse_policy(data: bytes) -> Policy:
    """Read a policy of at most 256 KiB, with at most 100 logs, 100 witnesses and 100 groups.

    Everything the specification does not allow is refused: other control characters, an
    unknown keyword, a name before its line or used by two groups, a second key of the same
    bytes, no quorum or two. Raises VerificationFailed(step="policy").
    """
    if len(data) > POLICY_BYTES_MAX:
        raise _bad(f"it is larger than {POLICY_BYTES_MAX} bytes")
    if _FORBIDDEN.search(data):
        raise _bad("it has control characters")
    lines = data.split(b"\n")
    if lines.pop():
        raise _bad("its last line does not end")
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        words = _SPACE.split(line.strip(b" \t"))
        if words[0] and not words[0].startswith(b"#"):
            reader.take(words, number)
    return reader.policy()


@dataclass
class _Reader:
    logs: dict[bytes, VerifierKey] = field(default_factory=dict)
    witnesses: dict[bytes, VerifierKey] = field(default_factory=dict)
    groups: dict[bytes, Group] = field(default_factory=dict)
    grouped: set[bytes] = field(default_factory=set)
    quorums: list[bytes] = field(default_factory=list)

    def take(self, words: list[bytes], number: int) -> None:
        """One line that is neither empty nor a comment."""
        match words:
            case [b"log", vkey] | [b"log", vkey, _]:
                self._add_log(_key(vkey, KeyType.ED25519, number), number)
            case [b"witness", name, vkey] | [b"witness", name, vkey, _]:
                self._add_witness(name, _key(vkey, KeyType.COSIGNATURE, number), number)
            case [b"group", name, threshold, *members] if members:
                self._add_group(name, threshold, tuple(members), number)
            case [b"quorum", name]:
                if name != _NOBODY:
                    self._require_known([name], number)
                self.quorums.append(name)
            case _:
                raise _bad_line(number, "it is none that a policy has")

    def policy(self) -> Policy:
        """What the lines say together."""
        if len(self.quorums) != 1:
            raise _bad("it must have exactly one quorum line")
        (quorum,) = self.quorums
        return Policy(
            logs=tuple(self.logs.values()),
            witnesses=self.witnesses,
            groups=self.groups,
            quorum=None if quorum == _NOBODY else quorum,
        )

    def _add_log(self, key: VerifierKey, number: int) -> None:
        if self.logs.setdefault(key.public_key, key) is not key:
            raise _bad_line(number, "another log has the same key")
        _require_few(self.logs, number)

    def _add_witness(self, name: bytes, key: VerifierKey, number: int) -> None:
        self._require_new(name, number)
        # One key under two names would count twice for a quorum.
        if any(known.public_key == key.public_key for known in self.witnesses.values()):
            raise _bad_line(number, "another witness has the same key")
        self.witnesses[name] = key
        _require_few(self.witnesses, number)

    def _add_group(
        self, name: bytes, threshold: bytes, members: tuple[bytes, ...], number: int
    ) -> None:
        self._require_new(name, number)
        self._require_known(members, number)
        # A member of two groups would count twice for a quorum over both.
        if len(set(members)) < len(members) or self.grouped.intersection(members):
            raise _bad_line(number, "a member is listed twice")
        self.grouped.update(members)
        self.groups[name] = Group(_threshold(threshold, len(members), number), members)
        _require_few(self.groups, number)

    def _require_new(self, name: bytes, number: int) -> None:
        if name == _NOBODY or name in self.witnesses or name in self.groups:
            raise _bad_line(number, "its name is taken")

    def _require_known(self, names: Iterable[bytes], number: int) -> None:
        if not all(name in self.witnesses or name in self.groups for name in names):
            raise _bad_line(number, "it names what no line before it defines")


def _threshold(word: bytes, members: int, number: int) -> int:
    if word in (b"any", b"all"):
        return 1 if word == b"any" else members
    if not _NUMBER.fullmatch(word) or int(word) > members:
        raise _bad_line(number, "its threshold is not any, all, or from 1 to its members")
    return int(word)


def _key(vkey: bytes, key_type: KeyType, number: int) -> VerifierKey:
    try:
        key = VerifierKey.parse(decode_utf8(vkey, what="the verifier key", step="key"))
    except VerificationFailed as failure:
        raise _bad_line(number, str(failure)) from failure
    if key.key_type is not key_type:
        raise _bad_line(number, "its key is of the other kind, log or witness")
    return key


def _require_few(members: Collection[object], number: int) -> None:
    if len(members) > MEMBERS_MAX:
        raise _bad_line(number, f"more than {MEMBERS_MAX} of a kind")


def _bad_line(number: int, why: str) -> VerificationFailed:
    return _bad(f"line {number}: {why}")


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(f"the policy cannot be read: {why}", step="policy")
