"""What an examination goes by besides the file: the trusted root, and what more is at hand.

With nothing more at hand every question that only a log or a validator of certificates can
answer is NOT CHECKED, and says so.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from hub.errors import VerificationFailed
from hub.proof.bundle import StoredEvidence, Timestamp
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint
from hub.proof.findings import Finding, Findings, Verdict, sentence
from hub.proof.leaf import parse_leaf
from hub.proof.merkle import leaf_hash
from hub.proof.receipt import TlogProof, verify_leaf_included
from hub.proof.tiles import LogFileMissing
from hub.proof.together import Together
from hub.proof.trust import ConsistencyNeeded, TrustedRoot

# Large enough for a folder sorted by time, small enough to forget about.
_REMEMBERED_MAX = 4096

# Events of these kinds end nobody's key. Of any other, also one that a later version will
# know, only what it names can be told here.
_HARMLESS = re.compile(
    rb"hub\.(?:Exchange|Delivery|Group|HubKey|Log|Principal|Relay)\.\w+"
    rb"|hub\.Agency\.(?:AgencyRegistered|AgencyRenamed|AgencySuspended|AgencyReinstated"
    rb"|AgencySucceededBy|CertificateEnrolled|RevocationReviewed|SubmissionRefused)"
)
_REVOKED = "hub.Agency.CertificateRevoked"
_TOPIC = re.compile(rb'.*"topic":"(hub\.[\w.]+)"', re.DOTALL)
_DIGESTS = re.compile(rb'"([0-9a-f]{64})"')

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opinion:
    """The verdict on one question, with a sentence about it."""

    verdict: Verdict
    text: str


Content = Callable[[str, str, int], tuple[int, str] | None]
"""(exchange, attachment's name, size it should have) → size and SHA-256; None if not there."""


class Log(Protocol):
    """One tree of a log that can be read; whatever it returns is proven by its checkpoint.

    Every method raises VerificationFailed for files that contradict that checkpoint, and
    OSError where they cannot be had.
    """

    @property
    def checkpoint(self) -> Checkpoint:
        """The tree, vouched for by the trusted root."""
        ...

    def root(self, size: int) -> bytes:
        """The root that the first `size` leaves have."""
        ...

    def entries(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The leaves from `start` up to `end`, by position."""
        ...


class Beyond(Protocol):
    """What this package leaves to others: certificates of the past, and their authorities."""

    def chain(
        self, certificate: bytes, *, issuers: Sequence[bytes], at: Sequence[datetime]
    ) -> Opinion:
        """Whether a certificate led to a trusted authority at each of these moments."""
        ...

    def revocation(
        self,
        certificate: bytes,
        *,
        issuers: Sequence[bytes],
        stored: Sequence[StoredEvidence],
        at: Sequence[datetime],
    ) -> Opinion:
        """Whether its issuers had revoked it by then, by what was known at the time."""
        ...

    def timestamp(self, note: bytes, timestamp: Timestamp) -> Sequence[Opinion]:
        """Whether a trusted authority saw this signed checkpoint, and when; at least one."""
        ...


class Nothing:
    """Nothing more is at hand: whatever is asked is not checked."""

    def chain(
        self, certificate: bytes, *, issuers: Sequence[bytes], at: Sequence[datetime]
    ) -> Opinion:
        """Not checked."""
        return _not_checked("The certificate's chain to a trusted authority was not checked.")

    def revocation(
        self,
        certificate: bytes,
        *,
        issuers: Sequence[bytes],
        stored: Sequence[StoredEvidence],
        at: Sequence[datetime],
    ) -> Opinion:
        """Not checked."""
        return _not_checked("Whether its issuer had revoked the certificate was not checked.")

    def timestamp(self, note: bytes, timestamp: Timestamp) -> Sequence[Opinion]:
        """Not checked."""
        return [_not_checked("A timestamp is there, but was not checked.")]


class Checks:
    """What one or many examinations go by. Remembers checkpoints and keys; used by one thread."""

    def __init__(
        self,
        trust: TrustedRoot,
        *,
        log: Log | None = None,
        beyond: Beyond | None = None,
        content: Content | None = None,
        together: Together | None = None,
    ) -> None:
        self.trust = trust
        self.content = content
        self.together = together
        self.log = log
        self.beyond: Beyond = beyond or Nothing()
        self._memory: OrderedDict[Hashable, object] = OrderedDict()
        self._revocations = None if log is None else _Revocations(log)

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made once for as long as it is remembered; failures are not."""
        if key in self._memory:
            self._memory.move_to_end(key)
            # Whatever lies under a key was made by the same call.
            return self._memory[key]  # type: ignore[return-value]
        made = make()
        self._memory[key] = made
        if len(self._memory) > _REMEMBERED_MAX:
            self._memory.popitem(last=False)
        return made

    def open_checkpoint(self, note: bytes) -> OpenedCheckpoint:
        """The checkpoint in a signed note, once a log key that was good at its size vouches.

        Where the trusted root needs the proof that its tree grew into a closing one, the log
        gives it, if there is one. Raises VerificationFailed.
        """
        return self.remembered(("note", note), lambda: self._open(note))

    def included(self, leaf: bytes, proof: TlogProof, opened: OpenedCheckpoint) -> None:
        """Check that a leaf stands in an opened tree, which may contradict other files.

        Raises VerificationFailed.
        """
        verify_leaf_included(leaf, proof, opened)
        if self.together is not None:
            hashes = proof.hashes
            self.together.saw_path(opened.checkpoint, proof.index, leaf_hash(leaf), hashes)

    def require_on_log(self, checkpoint: Checkpoint) -> None:
        """Check that a tree begins the log's.

        Raises VerificationFailed, OSError, and ConsistencyNeeded where there is no log, or
        where it is too short to tell.
        """
        if self.log is None:
            raise ConsistencyNeeded("no log was read", step="log")
        log, whole = self.log, self.log.checkpoint
        if checkpoint.origin != whole.origin:
            # A log that goes on from another one has its leaves, and below the same root all of
            # them. Where the roots differ, that proves nothing about the other log.
            if checkpoint.size <= whole.size and log.root(checkpoint.size) == checkpoint.root:
                return
            raise ConsistencyNeeded("the log that was read is another one", step="log")
        if checkpoint.size > whole.size:
            raise ConsistencyNeeded(
                f"the log that was read ends at size {whole.size}, before this checkpoint",
                step="log",
            )
        self.remembered(("tree", checkpoint), lambda: _require_begins(checkpoint, log))

    def between(self, names: set[str], first: int, last: int, *, under: Checkpoint) -> Opinion:
        """Whether the log revoked a key between two positions of the tree of a checkpoint.

        `names` are the digests by which a revocation may name it: the key's and its
        certificate's. Another log, or one that was rewritten, is no answer. Raises
        VerificationFailed for a revocation, and for a log that contradicts the checkpoint.
        """
        if self._revocations is None:
            return Opinion(
                Verdict.NOT_CHECKED,
                f"Whether the log revoked the key between positions {first} and {last} was not"
                " checked: no log was read.",
            )
        try:
            self.require_on_log(under)
            return self._revocations.between(names, first, last)
        except (OSError, ConsistencyNeeded, LogFileMissing) as error:
            return _unread(first, last, error)

    def on_log(self, checkpoints: Sequence[Checkpoint]) -> Opinion:
        """Whether trees begin the log that was read. Raises VerificationFailed if not."""
        try:
            for checkpoint in checkpoints:
                self.require_on_log(checkpoint)
        except OSError as error:
            why = error.strerror or str(error)
            return Opinion(Verdict.NOT_CHECKED, f"The log could not be read: {why}.")
        except (ConsistencyNeeded, LogFileMissing) as needed:
            return Opinion(Verdict.NOT_CHECKED, sentence(str(needed)))
        sizes = sorted({checkpoint.size for checkpoint in checkpoints})
        which = ", ".join(map(str, sizes)) if len(sizes) < 4 else f"{sizes[0]} to {sizes[-1]}"
        return Opinion(Verdict.PROVEN, f"What was signed at size {which} lies on the log read.")

    def _open(self, note: bytes) -> OpenedCheckpoint:
        try:
            return self.trust.open_checkpoint(note)
        except ConsistencyNeeded:
            if self.log is None:
                raise
            opened = self.trust.open_signed(note)
            self.require_on_log(opened.checkpoint)
            return opened


def _require_begins(checkpoint: Checkpoint, log: Log) -> None:
    if log.root(checkpoint.size) != checkpoint.root:
        raise VerificationFailed(
            f"the log that was read has another tree of size {checkpoint.size} than the one that"
            " was signed: one of them was rewritten",
            step="log",
        )


class _Revocations:
    """Which keys the log revoked where. Reads each stretch of it once, and keeps little."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._low = self._high = 0
        self._named: dict[str, list[tuple[int, bool]]] = {}

    def between(self, names: set[str], first: int, last: int) -> Opinion:
        """What the entries between two positions say of any of these digests."""
        self._read(first, last)
        found = sorted(
            (position, revoked)
            for name in names
            for position, revoked in self._named.get(name, ())
            if first < position < last
        )
        for position, revoked in found:
            if revoked:
                raise VerificationFailed(
                    f"the log revoked the key at position {position}, before it was relied on",
                    step="log",
                )
        if found:
            return Opinion(
                Verdict.NOT_CHECKED,
                f"The event at position {found[0][0]} names the key and is of a kind that this"
                " version does not know.",
            )
        return Opinion(
            Verdict.PROVEN,
            f"The log did not revoke the key between positions {first} and {last}: every entry"
            " between was read.",
        )

    def _read(self, first: int, last: int) -> None:
        if self._low == self._high:
            self._low = self._high = first
        # One stretch that grows at both ends: documents of one time lie close together.
        if first < self._low:
            self._note(self._log.entries(first, self._low))
            self._low = first
        if last > self._high:
            self._note(self._log.entries(self._high, last))
            self._high = last

    def _note(self, entries: Iterator[tuple[int, bytes]]) -> None:
        for position, leaf in entries:
            topic = _TOPIC.match(leaf)
            if topic is not None and _HARMLESS.fullmatch(topic[1]):
                continue
            revoked = parse_leaf(leaf).topic == _REVOKED
            for name in set(_DIGESTS.findall(leaf)):
                self._named.setdefault(name.decode(), []).append((position, revoked))


def numbered(steps: Iterator[Opinion]) -> Findings:
    """The findings of an examination, each step of which yields exactly one opinion.

    A step that raises is the last: refuted, or not checked where more evidence is needed.
    """
    found: list[Finding] = []
    try:
        for step, opinion in enumerate(steps, start=1):
            found.append(Finding(step, opinion.verdict, opinion.text))
            if opinion.verdict is Verdict.REFUTED:
                break
    except (ConsistencyNeeded, LogFileMissing) as unknown:
        found.append(Finding(len(found) + 1, Verdict.NOT_CHECKED, sentence(str(unknown))))
    except VerificationFailed as failure:
        found.append(Finding(len(found) + 1, Verdict.REFUTED, sentence(str(failure))))
    return Findings(tuple(found))


def _not_checked(text: str) -> Opinion:
    return Opinion(Verdict.NOT_CHECKED, text)


def _unread(first: int, last: int, why: Exception) -> Opinion:
    reason = (why.strerror if isinstance(why, OSError) else None) or str(why)
    return Opinion(
        Verdict.NOT_CHECKED,
        sentence(
            f"whether the log revoked the key between positions {first} and {last} could not be"
            f" read: {reason}"
        ),
    )
