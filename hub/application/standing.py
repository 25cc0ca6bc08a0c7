"""Who may send now, who is sent to, and for whom an agency speaks, by one register.

These are step 9 of the checks on a statement (`intake`): the parties are known and open. They
are made outside the writing lane first, and again inside it, where they decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hub.application.registry import Registry
from hub.domain.exchange import Consignment
from hub.errors import (
    AgencySucceeded,
    AgencySuspended,
    HubError,
    NotAParty,
    RecipientUnknown,
    StatementMalformed,
)
from hub.proof.statements import Collect, Envelope, RecallAnswer, Status

_NAMES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient of an envelope: the code as it was signed, and whose inbox it leads to."""

    signed: str
    agency: str
    via: str = ""

    def consigned(self, inbox_seq: int) -> Consignment:
        """What the event remembers of it."""
        consignment = Consignment(agency=self.agency, inbox_seq=inbox_seq)
        if self.signed != self.agency:
            consignment["addressed"] = self.signed
        if self.via:
            consignment["via"] = self.via
        return consignment


def require_may_send(agency: str, registry: Registry) -> None:
    """Refuse a sender that is suspended, or that another agency has taken the place of.

    It still reads and answers: what it was sent before must not hang in the air.
    """
    entry = registry.agencies[agency]
    if entry.successor is not None:
        raise AgencySucceeded(
            f"{agency} was succeeded by {entry.successor}, which sends in its place",
            agency=agency,
            successor=entry.successor,
        )
    if entry.suspended:
        raise AgencySuspended(
            f"{agency} is suspended: it reads and answers, but does not send", agencies=agency
        )


def addressees_of(envelope: Envelope, registry: Registry) -> list[Addressee]:
    """Where each recipient's document goes; refuses the envelope if one cannot get it.

    All recipients at fault are named at once: the unknown first, with the suspended beside
    them. An agency named by two codes, and the sender by another code of its own or of a
    predecessor, is refused as the form of an envelope refuses it by the same code.
    """
    unknown: list[str] = []
    suspended: list[str] = []
    found: list[Addressee] = []
    for code in envelope.recipients:
        receiver = registry.receiver(code)
        if receiver is None:
            unknown.append(code)
            continue
        if receiver.suspended:
            suspended.append(code)
        found.append(Addressee(code, receiver.code, receiver.via))
    if refusal := _not_open(unknown, suspended):
        raise refusal
    _require_once(found, envelope.header.agency)
    return found


def _not_open(unknown: Sequence[str], suspended: Sequence[str]) -> HubError | None:
    if unknown:
        message = f"not registered at this hub: {_shown(unknown)}"
        metadata = {"recipients": _names(unknown), "count": str(len(unknown))}
        if suspended:
            message += f"; suspended: {_shown(suspended)}"
            metadata["suspended"] = _names(suspended)
        return RecipientUnknown(message, **metadata)
    if suspended:
        return AgencySuspended(
            f"suspended, so nothing can be sent to them: {_shown(suspended)}",
            agencies=_names(suspended),
            count=str(len(suspended)),
        )
    return None


def _names(codes: Sequence[str]) -> str:
    return ", ".join(codes[:_NAMES_SHOWN_MAX])


def _shown(codes: Sequence[str]) -> str:
    more = len(codes) - _NAMES_SHOWN_MAX
    return _names(codes) + (f" and {more} more" if more > 0 else "")


def _require_once(found: Sequence[Addressee], sender: str) -> None:
    signed: dict[str, str] = {}
    for addressee in found:
        if addressee.agency == sender:
            raise StatementMalformed(
                f"recipients names the sender itself: {addressee.signed} is {sender}",
                field="recipients",
            )
        if (other := signed.setdefault(addressee.agency, addressee.signed)) != addressee.signed:
            raise StatementMalformed(
                f"recipients names an agency twice: {other} and {addressee.signed} are both"
                f" {addressee.agency}",
                field="recipients",
            )


def delivery_meant(
    statement: Collect | Status | RecallAnswer, recipients: Sequence[str], registry: Registry
) -> str:
    """Which recipient's delivery a statement is about: its speaker's, or a predecessor's.

    A successor names the predecessor in `for_agency`: where several merged, each may have
    got the document, and whom a signature speaks for must stand in what was signed. Raises
    NotAParty.
    """
    speaker = statement.header.agency
    meant = statement.for_agency or speaker
    if meant not in recipients or meant not in registry.represented(speaker):
        raise NotAParty(
            "only a recipient can say this, or its successor with the recipient in for_agency",
            envelope_digest=statement.envelope_digest,
        )
    return meant
