"""The kit with which a document system sends and collects through a lienthong hub.

Start with README.md beside this file. Errors are in :mod:`hub.errors` (the hub's refusals,
VerificationFailed) and :mod:`hub.client.errors`; the fake hub for a vendor's own tests is in
:mod:`hub.client.testing`.
"""

from hub.client.answers import (
    Accepted,
    CollectedDocument,
    Fetched,
    InboxItem,
    InboxItemKind,
    OutboxItem,
    OutboxItemKind,
    RecallState,
    VerifiedStatement,
)
from hub.client.client import HubClient
from hub.client.drafting import AttachmentDraft, DocumentDraft, Submission
from hub.client.errors import HubUnreachable
from hub.client.lists import DocumentFilter, ReceivedDocument, SentDocument
from hub.client.profile import ClientProfile
from hub.client.registry import RegistryClient
from hub.client.retry import RetryPolicy
from hub.client.signing import KeySigner, Signer
from hub.client.sync import SyncHubClient

__all__ = [
    "Accepted",
    "AttachmentDraft",
    "ClientProfile",
    "CollectedDocument",
    "DocumentDraft",
    "DocumentFilter",
    "Fetched",
    "HubClient",
    "HubUnreachable",
    "InboxItem",
    "InboxItemKind",
    "KeySigner",
    "OutboxItem",
    "OutboxItemKind",
    "RecallState",
    "ReceivedDocument",
    "RegistryClient",
    "RetryPolicy",
    "SentDocument",
    "Signer",
    "Submission",
    "SyncHubClient",
    "VerifiedStatement",
]
