"""What the hub needs from the world, as promises.

Each port says what it promises and whether we trust it. "Untrusted" means that everything
read back is checked before it is believed; "trusted" means that an attacker who can change
it can do what the sentence says.

Where the world fails (a disk, a database), every method raises OSError; a write that did
may or may not have been kept.
"""

from __future__ import annotations

from hub.application.ports.common import Clock, Randomness
from hub.application.ports.content import (
    Claim,
    ContentStore,
    DocumentKeys,
    KeyCustody,
    NewUpload,
    StoredUpload,
    UploadStore,
)
from hub.application.ports.export import LogFolder
from hub.application.ports.figures import (
    Backlog,
    Backlogs,
    DeliveryFigures,
    DocumentFigures,
    Figures,
    FiguresSnapshot,
    FiguresWanted,
)
from hub.application.ports.leading import Lease, MayAct, NotLeading
from hub.application.ports.lists import DocumentFilter, DocumentLists, ReceivedRows, SentRows, Tally
from hub.application.ports.log import (
    AcceptedRequest,
    Appending,
    AppendProbe,
    Commit,
    Erasable,
    Erasure,
    EventLog,
    Head,
    HeadMoved,
    LogEntry,
    LogStopped,
    NewRequest,
    RequestKey,
    SealedPayload,
    Seen,
)
from hub.application.ports.outside import (
    CrlSource,
    OcspResponder,
    SignatureExaminer,
    TimestampAuthority,
)
from hub.application.ports.relays import Place, RelayList, RelayTally
from hub.application.ports.retention import Retained, RetentionList
from hub.application.ports.tree import (
    SignedTree,
    Signer,
    SignerMemory,
    TreeStore,
    Verified,
    VerifiedMark,
)
from hub.application.ports.trust import RootFiles, TrustFetch, TrustFetches
from hub.application.ports.views import (
    DeliveryRow,
    DocumentRow,
    NoticeKind,
    NoticeRow,
    OrderRow,
    RelayRow,
    ViewChanges,
    Views,
)
from hub.application.ports.witnesses import Cosignatures, Witness, WitnessConflict, WitnessRefused

__all__ = [
    "AcceptedRequest",
    "AppendProbe",
    "Appending",
    "Backlog",
    "Backlogs",
    "Claim",
    "Clock",
    "Commit",
    "ContentStore",
    "Cosignatures",
    "CrlSource",
    "DeliveryFigures",
    "DeliveryRow",
    "DocumentFigures",
    "DocumentFilter",
    "DocumentKeys",
    "DocumentLists",
    "DocumentRow",
    "Erasable",
    "Erasure",
    "EventLog",
    "Figures",
    "FiguresSnapshot",
    "FiguresWanted",
    "Head",
    "HeadMoved",
    "KeyCustody",
    "Lease",
    "LogEntry",
    "LogFolder",
    "LogStopped",
    "MayAct",
    "NewRequest",
    "NewUpload",
    "NotLeading",
    "NoticeKind",
    "NoticeRow",
    "OcspResponder",
    "OrderRow",
    "Place",
    "Randomness",
    "ReceivedRows",
    "RelayList",
    "RelayRow",
    "RelayTally",
    "RequestKey",
    "Retained",
    "RetentionList",
    "RootFiles",
    "SealedPayload",
    "Seen",
    "SentRows",
    "SignatureExaminer",
    "SignedTree",
    "Signer",
    "SignerMemory",
    "StoredUpload",
    "Tally",
    "TimestampAuthority",
    "TreeStore",
    "TrustFetch",
    "TrustFetches",
    "UploadStore",
    "Verified",
    "VerifiedMark",
    "ViewChanges",
    "Views",
    "Witness",
    "WitnessConflict",
    "WitnessRefused",
]
