"""A whole hub in memory, and agencies that sign for it, with as little as a test has to say."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from eventsourcing.persistence import StoredEvent

from adapters.memory.content import MemoryContentStore
from adapters.memory.determinism import CountedRandomness, FixedClock
from adapters.memory.document_keys import MemoryDocumentKeys, MemoryKeyCustody
from adapters.memory.events import MemoryEventLog
from adapters.memory.signer import MemorySigner
from adapters.memory.tree import MemoryTreeStore
from adapters.memory.uploads import MemoryUploadStore
from adapters.memory.views import MemoryViews
from adapters.memory.witnesses import MemoryCosignatures
from hub.application.agencies import Agencies, EnrolCertificate, RegisterAgency
from hub.application.audit import OwnReceipts
from hub.application.certificates import Suitability
from hub.application.erasure import Eraser, Executed, Orders
from hub.application.exchanges import Exchanges, HandedOver
from hub.application.expiry import expire_overdue
from hub.application.founding import FoundHub
from hub.application.hub_keys import EndedKeys, HubKeys
from hub.application.lane import Command, Recorded
from hub.application.mapper import ClosedMapper
from hub.application.operators import Operators
from hub.application.refusals import RefusalRecorder
from hub.application.uploads import Uploads
from hub.application.vault import Vault
from hub.errors import HubError
from hub.ledger.batch import BatchEngine, Outcome, load_registry
from hub.ledger.following import Others
from hub.ledger.fsck import Finding, Parts, check_everything
from hub.ledger.receipts import ReceiptBook
from hub.ledger.sequencer import Sequencer
from hub.projections.deliveries import DeliveryProjection
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.leaf import Event, parse_leaf
from hub.proof.note import VerifierKey
from hub.proof.receipt import verify_receipt
from hub.proof.signatures import Algorithm, key_id_of
from hub.proof.statements import (
    Approval,
    Collect,
    Envelope,
    ErasureOrder,
    KeyOrder,
    Recall,
    RecallAnswer,
    Status,
    encode_payload,
)
from hub.proof.tree import Tree
from hub.proof.trust import LogKey, TrustedLog, TrustedRoot
from keys.development_ca import DevelopmentCA, Issued
from tests.support.make_statement_examples import sign

ORIGIN = "lienthong.example/2026"
START = FixedClock()()
OPERATOR, SECOND_OPERATOR = "operator", "operator-2"
SENDER, RECIPIENT, OTHER = "H01.1", "H02", "H03-2"
AGENCIES = (SENDER, RECIPIENT, OTHER)
VIETNAM = timezone(timedelta(hours=7))

T = TypeVar("T")
_numbers = itertools.count(1)


# --- Keys and certificates ----------------------------------------------------------------


@cache
def authority() -> DevelopmentCA:
    """The one authority of a test run; its clock stands at START."""
    with TemporaryDirectory() as folder:
        return DevelopmentCA.create(Path(folder) / "ca", FixedClock())


def anchor() -> bytes:
    """The authority's certificate in DER."""
    return der(authority().certificate_pem)


@cache
def transport_identity(name: str) -> Issued:
    """A client certificate with its key, the same one for a name."""
    return authority().issue_client(name)


def transport_certificate(name: str) -> bytes:
    """That certificate in DER."""
    return der(transport_identity(name).certificate_pem)


@cache
def signing_certificate(
    name: str,
    algorithm: Algorithm,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> Issued:
    """A certificate to sign with and its key: made once, for making RSA keys is slow."""
    return authority().issue_signing(name, algorithm, not_before, not_after)


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


# --- Statements ---------------------------------------------------------------------------


def new_request_id() -> str:
    """A request id that no test used before."""
    return f"00000000-0000-4000-8000-{next(_numbers):012x}"


def instant(at: datetime) -> str:
    """An instant as statements write it."""
    return at.astimezone(VIETNAM).isoformat()


def header(agency: str, **changes: Any) -> dict[str, Any]:
    request_id = new_request_id()
    members = {
        "v": 1,
        "hub": ORIGIN,
        "agency": agency,
        "request_id": request_id,
        "nonce": base64.b64encode(hashlib.sha256(request_id.encode()).digest()[:16]).decode(),
        "created_at": instant(START),
    }
    return members | changes


def document(contents: Sequence[bytes] = (), **changes: Any) -> dict[str, Any]:
    """The fields a document must have, with these attachments."""
    members = {
        "number": "125",
        "notation": "UBND-VP",
        "type": {"name": "Công văn", "code": "CV"},
        "secrecy": "none",
        "subject": "V/v triển khai liên thông văn bản điện tử",
        "issued_on": "2026-11-21",
        "priority": "normal",
        "language": "vi",
        "attachments": [
            {
                "name": f"văn bản {number}.pdf",
                "media_type": "application/pdf",
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for number, content in enumerate(contents)
        ],
    }
    return members | changes


@dataclass(frozen=True)
class Party:
    """An agency with a key to sign with. What it signs need not be true or well formed."""

    code: str
    algorithm: Algorithm = Algorithm.ED25519
    not_before: datetime | None = None
    not_after: datetime | None = None
    key_name: str = ""

    @property
    def issued(self) -> Issued:
        name = self.key_name or self.code
        return signing_certificate(name, self.algorithm, self.not_before, self.not_after)

    @property
    def certificate(self) -> bytes:
        return der(self.issued.certificate_pem)

    @cached_property
    def _key(self) -> Any:
        return load_pem_private_key(self.issued.private_key_pem, password=None)

    @cached_property
    def key_id(self) -> str:
        return key_id_of(self._key.public_key())

    def sign(self, payload_type: str, payload: bytes) -> SignedStatement:
        message = pre_authentication_encoding(payload_type, payload)
        signature = sign(self._key, self.algorithm, message)
        return SignedStatement(payload_type, payload, self.key_id, signature)

    def say(self, payload_type: str, **members: Any) -> SignedStatement:
        """Sign a statement with a header of this agency; any member can be overridden."""
        return self.sign(payload_type, encode_payload(header(self.code) | members))

    def envelope(
        self, *recipients: str, contents: Sequence[bytes] = (), **changes: Any
    ) -> SignedStatement:
        """An envelope; `document=` changes fields of its document."""
        members = {
            "recipients": list(recipients or (RECIPIENT,)),
            "action": "new",
            "document": document(contents, **changes.pop("document", {})),
        }
        return self.say(Envelope.MEDIA_TYPE, **members | changes)

    def collect(self, envelope: SignedStatement, **changes: Any) -> SignedStatement:
        members = {"envelope_digest": envelope.digest.hex()}
        return self.say(Collect.MEDIA_TYPE, **members | changes)

    def status(self, envelope: SignedStatement, code: str, **changes: Any) -> SignedStatement:
        members = {"envelope_digest": envelope.digest.hex(), "code": code}
        if code == "02":
            members["reason"] = "gửi nhầm nơi nhận"
        return self.say(Status.MEDIA_TYPE, **members | changes)

    def recall(self, envelope: SignedStatement, **changes: Any) -> SignedStatement:
        members = {"envelope_digest": envelope.digest.hex(), "reason": "ban hành nhầm thể thức"}
        return self.say(Recall.MEDIA_TYPE, **members | changes)

    def recall_answer(
        self, envelope: SignedStatement, code: str, **changes: Any
    ) -> SignedStatement:
        members = {"envelope_digest": envelope.digest.hex(), "code": code}
        if code == "16":
            members["reason"] = "văn bản đã được xử lý"
        return self.say(RecallAnswer.MEDIA_TYPE, **members | changes)


@dataclass(frozen=True)
class OperatorParty:
    """An operator who signs with the key of its connection."""

    name: str

    @cached_property
    def _key(self) -> Any:
        return load_pem_private_key(transport_identity(self.name).private_key_pem, password=None)

    def say(self, payload_type: str, **members: Any) -> SignedStatement:
        """Sign a statement with a header of this operator; any member can be overridden."""
        return self.sign(payload_type, encode_payload(header(self.name) | members))

    def sign(self, payload_type: str, payload: bytes) -> SignedStatement:
        message = pre_authentication_encoding(payload_type, payload)
        signature = sign(self._key, Algorithm.ECDSA_P256_SHA256, message)
        return SignedStatement(payload_type, payload, key_id_of(self._key.public_key()), signature)

    def order(self, envelope: SignedStatement | None, **changes: Any) -> SignedStatement:
        """An order to erase the document of an envelope."""
        members = {
            "envelope_digest": envelope.digest.hex() if envelope else "",
            "reason": "data-subject-request",
            "basis": "Luật 91/2025/QH15, Điều 14",
        }
        return self.say(ErasureOrder.MEDIA_TYPE, **members | changes)

    def key_order(self, action: str, key: VerifierKey | None = None, **changes: Any) -> Any:
        """An order about a key of the hub, or about a frozen log."""
        members: dict[str, Any] = {"action": action, "reason": "planned", "basis": "QĐ 12/QĐ-STTTT"}
        if key is not None:
            members["hub_key"] = key.format()
        return self.say(KeyOrder.MEDIA_TYPE, **members | changes)

    def approval(self, order: SignedStatement, **changes: Any) -> SignedStatement:
        """The approval of exactly this order."""
        members = {"order_digest": order.digest.hex()}
        return self.say(Approval.MEDIA_TYPE, **members | changes)


def request_id_of(signed: SignedStatement) -> str:
    request_id: str = json.loads(signed.payload)["request_id"]
    return request_id


first_operator, second_operator = OperatorParty(OPERATOR), OperatorParty(SECOND_OPERATOR)


# --- A hub --------------------------------------------------------------------------------


@dataclass
class Stores:
    """What survives a crash. The defaults are in memory; a test may put in others."""

    log: Any = field(default_factory=MemoryEventLog)
    tree: Any = field(default_factory=MemoryTreeStore)
    views: Any = field(default_factory=MemoryViews)
    content: Any = field(default_factory=MemoryContentStore)
    document_keys: Any = field(default_factory=MemoryDocumentKeys)
    custody: Any = field(default_factory=MemoryKeyCustody)
    signer: Any = field(default_factory=lambda: MemorySigner(ORIGIN))
    uploads: Any = None
    cosignatures: Any = None

    def __post_init__(self) -> None:
        if self.uploads is None:
            self.uploads = MemoryUploadStore(self.content, FixedClock())
        if self.cosignatures is None:
            sizes = lambda: {size for size, _note in self.tree.checkpoints()}  # noqa: E731
            self.cosignatures = MemoryCosignatures(lambda size: size in sizes())

    @property
    def switches(self) -> dict[str, Any]:
        """The fault switches there are, by the name of their store."""
        return {
            name: store.faults for name, store in vars(self).items() if hasattr(store, "faults")
        }


class InstantLane:
    """The port Lane without a thread: each command is a batch of its own."""

    def __init__(self, process: Callable[[Command], Outcome]) -> None:
        self._process = process

    async def do(self, command: Command) -> Recorded:
        outcome = self._process(command)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def at_once(work: Callable[[], T]) -> T:
    """The port Offloader without threads."""
    return work()


class MemoryHub:
    """The application and the ledger over stores in memory, with a clock that stands still.

    Nothing in it waits for anything: commands go straight to the engine.
    """

    def __init__(
        self,
        stores: Stores | None = None,
        *,
        clock: FixedClock | None = None,
        randomness: CountedRandomness | None = None,
        load: bool = True,
        others: Others | None = None,
    ) -> None:
        self.stores = stores or Stores()
        self.clock = clock or FixedClock()
        self.randomness = randomness or CountedRandomness()
        self.mapper = ClosedMapper(self.randomness)
        self.log, self.signer, self.views = self.stores.log, self.stores.signer, self.stores.views
        self.vault = Vault(self.stores.document_keys, self.stores.custody, self.randomness)
        self.receipts = ReceiptBook(self.log, self.stores.tree, self.stores.cosignatures)
        self.projection = DeliveryProjection(self.log, self.vault, self.views)
        self.sequencer = Sequencer(
            origin=ORIGIN,
            log=self.log,
            store=self.stores.tree,
            signer=self.signer,
        )
        self.engine = BatchEngine(
            log=self.log,
            mapper=self.mapper,
            sequencer=self.sequencer,
            receipts=self.receipts,
            vault=self.vault,
            clock=self.clock,
            randomness=self.randomness,
            published=self._published,
            others=others,
        )
        self.ended_keys = EndedKeys(
            origin=ORIGIN,
            registry=lambda: self.engine.registry,
            receipts=self.receipts,
            signer=self.signer,
        )
        self.uploads = Uploads(
            store=self.stores.uploads,
            vault=self.vault,
            log=self.log,
            offload=at_once,
            clock=self.clock,
            randomness=self.randomness,
        )
        self.eraser = Eraser(
            log=self.log,
            vault=self.vault,
            content=self.stores.content,
            uploads=self.uploads,
            views=self.views,
            receipts=self.receipts,
            offload=at_once,
        )
        self.lane = InstantLane(lambda command: self.process(command)[0])
        self.suitability = Suitability(signing=[anchor()], transport=[anchor()])
        self.unrecorded: list[tuple[str, HubError]] = []
        self.exchanges = self.exchanges_on(self.lane)
        self.agencies = Agencies(
            lane=self.lane, registry=lambda: self.engine.registry, suitability=self.suitability
        )
        self.operators = Operators(self.lane, lambda: self.engine.registry, self.suitability)
        self.orders = Orders(
            origin=ORIGIN,
            log=self.log,
            lane=self.lane,
            receipts=self.receipts,
            registry=lambda: self.engine.registry,
            vault=self.vault,
            views=self.views,
            eraser=self.eraser,
            offload=at_once,
            clock=self.clock,
        )
        self.hub_keys = HubKeys(
            origin=ORIGIN,
            lane=self.lane,
            registry=lambda: self.engine.registry,
            signer=self.signer,
            root_at=lambda size: Tree(self.stores.tree.tile).root(size),
            planner=lambda keys: [],
            is_listed=lambda key: True,
            offload=at_once,
        )
        self.own_receipts = OwnReceipts(self.receipts, at_once, lambda: self.engine.registry)
        # Every receipt anybody was given, by position: it must never change.
        self.kept: dict[int, Recorded] = {}
        if load:
            self.start()

    def _published(self) -> None:
        self.projection.catch_up(self.receipts.size)
        self.ended_keys()

    def start(self) -> None:
        """What a hub does before it serves."""
        self.engine.load()
        without_loop(self.uploads.recover())
        without_loop(self.eraser.run())

    def exchanges_on(self, lane: Any) -> Exchanges:
        """The use cases on another lane."""
        return Exchanges(
            origin=ORIGIN,
            log=self.log,
            lane=lane,
            receipts=self.receipts,
            registry=lambda: self.engine.registry,
            views=self.views,
            content=self.stores.content,
            uploads=self.uploads,
            vault=self.vault,
            refusals=RefusalRecorder(
                lane, self.judged_at, lambda agency, error: self.unrecorded.append((agency, error))
            ),
            offload=at_once,
            clock=self.judged_at,
            randomness=self.randomness,
        )

    def judged_at(self) -> datetime:
        """The time by which statements are judged, as `HubProcess` has it."""
        return max(self.clock(), self.engine.last_time)

    def restarted(self, *, load: bool = True) -> MemoryHub:
        """The hub after a crash: the same stores, and nothing else it remembered."""
        hub = MemoryHub(self.stores, clock=self.clock, randomness=self.randomness, load=False)
        hub.kept = self.kept
        if load:
            hub.start()
        return hub

    @property
    def trust(self) -> TrustedRoot:
        """What the hub's callers believe."""
        keys = [entry.key for entry in self.engine.registry.hub_keys.of_log(ORIGIN)]
        log = TrustedLog(ORIGIN, tuple(LogKey(key, 0) for key in keys or self.signer.keys))
        return TrustedRoot(1, (log,))

    # --- doing ----------------------------------------------------------------------------

    def process(self, *commands: Command) -> list[Outcome]:
        """One batch."""
        outcomes = self.engine.process(commands)
        for outcome in outcomes:
            if isinstance(outcome, Recorded):
                assert self.kept.setdefault(outcome.position, outcome) == outcome
        return outcomes

    def done(self, *commands: Command) -> list[Recorded]:
        """One batch, of which nothing is refused."""
        return [accepted(outcome) for outcome in self.process(*commands)]

    def submit(
        self, agency: str, signed: SignedStatement, contents: Sequence[bytes] = ()
    ) -> Recorded:
        return run(self.exchanges.submit(agency, signed, contents))

    def collect(self, agency: str, signed: SignedStatement) -> HandedOver:
        return run(self.exchanges.collect(agency, signed))

    def report(self, agency: str, signed: SignedStatement) -> Recorded:
        return run(self.exchanges.report_status(agency, signed))

    def recall(self, agency: str, signed: SignedStatement) -> Recorded:
        return run(self.exchanges.recall(agency, signed))

    def answer(self, agency: str, signed: SignedStatement) -> Recorded:
        return run(self.exchanges.answer_recall(agency, signed))

    def order(self, operator: str, signed: SignedStatement) -> Recorded:
        return run(self.orders.order_erasure(operator, signed))

    def approve(self, operator: str, signed: SignedStatement) -> Executed:
        return run(self.orders.approve(operator, signed))

    def order_key(self, operator: str, signed: SignedStatement) -> Recorded:
        return run(self.orders.order_key_action(operator, signed))

    def erase(self, envelope: SignedStatement) -> Executed:
        """Let two operators erase a document."""
        order = first_operator.order(envelope)
        self.order(OPERATOR, order)
        return self.approve(SECOND_OPERATOR, second_operator.approval(order))

    def let_in(self, name: str, by: str = OPERATOR) -> Recorded:
        """Let an operator in, with the certificate that `OperatorParty` signs with."""
        certificate = transport_certificate(name)
        return run(self.operators.enrol(by, new_request_id(), name=name, certificate=certificate))

    def expire(self) -> int:
        """The expiry job, once; how many deliveries it let expire."""
        return run(expire_overdue(self.views, self.lane, at_once, at=self.clock()))

    def download(self, agency: str, exchange_id: UUID, index: int = 0, offset: int = 0) -> bytes:
        async def whole() -> bytes:
            parts = self.exchanges.attachment(agency, exchange_id, index, offset)
            return b"".join([part async for part in parts])

        return run(whole())

    def register(self, *codes: str) -> None:
        """Register agencies, without any key."""
        self.done(*(RegisterAgency(OPERATOR, new_request_id(), code, code) for code in codes))

    def enrol(self, party: Party) -> Recorded:
        """Put a party's signing certificate into force."""
        return self.done(self.enrolment(party))[0]

    def enrolment(self, party: Party, **changes: Any) -> EnrolCertificate:
        members: dict[str, Any] = {
            "operator": OPERATOR,
            "request_id": new_request_id(),
            "code": party.code,
            "purpose": "signing",
            "algorithm": party.algorithm,
            "certificate": party.certificate,
            "suitability": self.suitability,
        }
        return EnrolCertificate(**members | changes)

    # --- looking --------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Everything that was ever recorded."""
        return [parse_leaf(entry.state) for entry in self.log.entries(0, 1_000_000)]

    def topics(self) -> list[str]:
        """The last words of every event's topic."""
        return [event.topic.rpartition(".")[2] for event in self.events()]

    def findings(self) -> list[Finding]:
        """What fsck finds."""
        stores = self.stores
        parts = Parts(
            origin=ORIGIN,
            keys=self.signer.keys,
            log=self.log,
            store=stores.tree,
            signer=self.signer,
            content=stores.content,
            # A vault that remembers no key: those that are stored must do.
            vault=Vault(stores.document_keys, stores.custody, self.randomness),
            cosignatures=stores.cosignatures,
        )
        return list(check_everything(parts))

    def break_next(self, where: str, fault: Any, *, calls: int = 1) -> None:
        """Arm a fault; `where` is a store and its method, as in `log.commit`."""
        store, method = where.split(".")
        self.stores.switches[store].break_next(method, fault, calls=calls)


def found(hub: MemoryHub) -> MemoryHub:
    """Record the first facts of a hub."""
    certificate = hub.suitability.require(
        transport_certificate(OPERATOR), "transport", None, hub.clock()
    )
    verifier_key = hub.signer.verifier_key.format()
    # Four facts of one command, which nobody asks for twice.
    accepted(hub.process(FoundHub(ORIGIN, verifier_key, OPERATOR, certificate))[0])
    return hub


def new_hub(stores: Stores | None = None, *parties: Party) -> MemoryHub:
    """A hub with three agencies, each with a key of its own; or with these."""
    hub = found(MemoryHub(stores))
    parties = parties or tuple(Party(code) for code in AGENCIES)
    hub.register(*dict.fromkeys(party.code for party in parties))
    hub.done(*(hub.enrolment(party) for party in parties))
    return hub


def accepted(outcome: Outcome) -> Recorded:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run(work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """The result of something asynchronous, for tests that are not."""

    async def wrapped() -> T:
        return await work

    return asyncio.run(wrapped())


def without_loop(work: Coroutine[Any, Any, T]) -> T:
    """The result of something that never really waits, even where a loop is running already."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


# --- Asking the whole hub -----------------------------------------------------------------


def check_whole(hub: MemoryHub) -> None:
    """Everything that was recorded is there, is proven, and is shown; nothing else is."""
    armed = [name for name, switch in hub.stores.switches.items() if switch.armed]
    assert not armed, f"faults still wait for their call in {armed}"
    _check_stores(hub)
    _check_events(hub)
    _check_receipts(hub)
    _check_views(hub)


def _check_stores(hub: MemoryHub) -> None:
    assert hub.findings() == []


def _check_events(hub: MemoryHub) -> None:
    entries = hub.log.entries(0, 1_000_000)
    for entry in entries:
        columns = (entry.aggregate_id, entry.version, entry.topic)
        hub.mapper.to_domain_event(StoredEvent(*columns, entry.state))
    assert [entry.position for entry in entries] == list(range(len(entries)))
    registry = [entry.position for entry in hub.log.registry_entries()]
    assert hub.log.head().next_position == len(entries)
    assert hub.log.head().registry_version == max(registry, default=-1)
    assert hub.engine.registry == load_registry(hub.log)


def _check_receipts(hub: MemoryHub) -> None:
    entries = hub.log.entries(0, 1_000_000)
    assert hub.receipts.size == len(entries), "some facts are covered by no checkpoint"
    for entry in entries:
        recorded = hub.receipts.receipt(entry.position)
        verified = verify_receipt(recorded.receipt, hub.trust)
        assert (verified.position, recorded.receipt.leaf) == (entry.position, entry.state)
        assert hub.kept.get(entry.position, recorded) == recorded, "a receipt has changed"


def _check_views(hub: MemoryHub) -> None:
    rebuilt = MemoryViews()
    DeliveryProjection(hub.log, hub.vault, rebuilt).catch_up(hub.receipts.size)
    assert hub.views.position() == hub.receipts.size, "the lists are behind"
    assert list(hub.views.rows()) == list(rebuilt.rows())
