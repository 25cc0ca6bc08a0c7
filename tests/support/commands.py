"""The commands that the use cases hand to the writing lane, for tests that look at batches."""

from hub.application import intake
from hub.application.exchanges import SpeakAsRecipient, SubmitDocument
from hub.domain.values import uuid7
from hub.proof.dsse import SignedStatement
from hub.proof.statements import Collect, Envelope, Status
from tests.support.builders import ORIGIN, MemoryHub, Party


def submit_command(hub: MemoryHub, sender: Party, signed: SignedStatement) -> SubmitDocument:
    """What `submit` decides in the lane, judged under today's registry; without content."""
    envelope = intake.read(signed, Envelope, agency=sender.code, origin=ORIGIN)
    spoken = hub.exchanges._judge(sender.code, signed)
    exchange_id = uuid7(hub.clock(), hub.randomness(10))
    return SubmitDocument(spoken, envelope, exchange_id, hub.vault.new_key(), hub.vault)


def status_command(
    hub: MemoryHub, recipient: Party, envelope: SignedStatement, code: str
) -> SpeakAsRecipient:
    """What `report_status` decides in the lane."""
    return _speak(hub, recipient, recipient.status(envelope, code), envelope)


def collect_command(
    hub: MemoryHub, recipient: Party, envelope: SignedStatement
) -> SpeakAsRecipient:
    """What `collect` decides in the lane."""
    return _speak(hub, recipient, recipient.collect(envelope), envelope)


def _speak(
    hub: MemoryHub, recipient: Party, signed: SignedStatement, envelope: SignedStatement
) -> SpeakAsRecipient:
    kind: type[Collect] | type[Status] = (
        Collect if signed.payload_type == Collect.MEDIA_TYPE else Status
    )
    statement = intake.read(signed, kind, agency=recipient.code, origin=ORIGIN)
    spoken = hub.exchanges._judge(recipient.code, signed)
    opened = hub.log.request_of(envelope.digest)
    return SpeakAsRecipient(spoken, statement, opened.exchange_id, hub.vault)
