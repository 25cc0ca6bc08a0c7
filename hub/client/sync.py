"""The same client for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hub.client.answers import (
    Accepted,
    CollectedDocument,
    Exchange,
    Fetched,
    InboxItem,
    Limits,
    OutboxItem,
    Repeated,
    VerifiedStatement,
)
from hub.client.client import HubClient
from hub.client.directory import ListedAgency, ListedGroup
from hub.client.drafting import AttachmentDraft, DocumentDraft, Submission
from hub.client.lists import DocumentFilter, ReceivedDocument, SentDocument
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy
from hub.client.signing import Signer
from hub.client.uploading import Progress, no_progress
from hub.proof.checkpoint import Checkpoint

T = TypeVar("T")


class SyncHubClient:
    """A `HubClient` on an event loop of its own, in a thread of its own.

    Use it in a `with` block. Each method does what its namesake does and blocks until it is
    done; several threads may call at once.
    """

    def __init__(
        self,
        profile: ClientProfile,
        *,
        signer: Signer | None = None,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._opening: AbstractAsyncContextManager[HubClient] = HubClient.open(
            profile, signer=signer, policy=policy
        )
        self._loop = asyncio.new_event_loop()
        # A daemon: a program that forgets to close must still be able to end.
        self._thread = threading.Thread(target=self._loop.run_forever, name="hub", daemon=True)
        self._client: HubClient | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._client = self._run(self._opening.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client = None
        try:
            self._run(self._opening.__aexit__(None, None, None))
        finally:
            self._stop()

    def submit(
        self,
        document: DocumentDraft,
        attachments: Sequence[AttachmentDraft],
        recipients: Sequence[str],
        **rest: Any,
    ) -> Accepted:
        """See `HubClient.submit`; `rest` are its keyword arguments.

        `progress` is called on the client's own thread, here and below.
        """
        return self._run(self._hub.submit(document, attachments, recipients, **rest))

    def submit_many(
        self, submissions: Sequence[Submission], progress: Progress = no_progress
    ) -> list[Accepted | Exception]:
        """See `HubClient.submit_many`."""
        return self._run(self._hub.submit_many(submissions, progress))

    def fetch(
        self,
        envelope_digest: str,
        folder: Path | str,
        *,
        arrived: bool = True,
        for_agency: str | None = None,
        progress: Progress = no_progress,
    ) -> Fetched:
        """See `HubClient.fetch`."""
        return self._run(
            self._hub.fetch(
                envelope_digest,
                folder,
                arrived=arrived,
                for_agency=for_agency,
                progress=progress,
            )
        )

    def collect(self, envelope_digest: str, *, for_agency: str | None = None) -> CollectedDocument:
        """See `HubClient.collect`."""
        return self._run(self._hub.collect(envelope_digest, for_agency=for_agency))

    def download(
        self,
        document: CollectedDocument,
        folder: Path | str,
        progress: Progress = no_progress,
    ) -> list[Path]:
        """See `HubClient.download`."""
        return self._run(self._hub.download(document, folder, progress))

    def report_status(
        self,
        envelope_digest: str,
        code: str,
        reason: str | None = None,
        *,
        for_agency: str | None = None,
    ) -> Accepted:
        """See `HubClient.report_status`."""
        return self._run(
            self._hub.report_status(envelope_digest, code, reason, for_agency=for_agency)
        )

    def recall(self, envelope_digest: str, reason: str) -> Accepted:
        """See `HubClient.recall`."""
        return self._run(self._hub.recall(envelope_digest, reason))

    def answer_recall(
        self,
        envelope_digest: str,
        agreed: bool,
        reason: str | None = None,
        *,
        for_agency: str | None = None,
    ) -> Accepted:
        """See `HubClient.answer_recall`."""
        return self._run(
            self._hub.answer_recall(envelope_digest, agreed, reason, for_agency=for_agency)
        )

    def resume(self, progress: Progress = no_progress) -> list[Repeated]:
        """See `HubClient.resume`."""
        return self._run(self._hub.resume(progress))

    def inbox(self, after: int = 0, *, agency: str = "") -> Iterator[InboxItem]:
        """See `HubClient.inbox`."""
        return self._iterate(self._hub.inbox(after, agency=agency))

    def watch_inbox(self, after: int = 0, *, agency: str = "") -> Iterator[InboxItem]:
        """See `HubClient.watch_inbox`. Blocks until the next item comes."""
        return self._iterate(self._hub.watch_inbox(after, agency=agency))

    def search_agencies(self, query: str = "") -> Iterator[ListedAgency]:
        """See `Directory.search`."""
        return self._iterate(self._hub.directory.search(query))

    def groups(self) -> Iterator[ListedGroup]:
        """See `Directory.groups`."""
        return self._iterate(self._hub.directory.groups())

    def expand(self, codes: Sequence[str], groups: Sequence[str]) -> list[str]:
        """See `Directory.expand`."""
        return self._run(self._hub.directory.expand(codes, groups))

    def outbox(self, after: int = 0, *, agency: str = "") -> Iterator[OutboxItem]:
        """See `HubClient.outbox`."""
        return self._iterate(self._hub.outbox(after, agency=agency))

    def watch_outbox(self, after: int = 0, *, agency: str = "") -> Iterator[OutboxItem]:
        """See `HubClient.watch_outbox`. Blocks until the next item comes."""
        return self._iterate(self._hub.watch_outbox(after, agency=agency))

    def statement(
        self, position: int, *, agency: str = "", cosigned: bool = False
    ) -> VerifiedStatement:
        """See `HubClient.statement`."""
        return self._run(self._hub.statement(position, agency=agency, cosigned=cosigned))

    def received(
        self, filters: DocumentFilter | None = None, *, agency: str = ""
    ) -> Iterator[ReceivedDocument]:
        """See `HubClient.received`."""
        return self._iterate(self._hub.received(filters, agency=agency))

    def sent(
        self, filters: DocumentFilter | None = None, *, agency: str = ""
    ) -> Iterator[SentDocument]:
        """See `HubClient.sent`."""
        return self._iterate(self._hub.sent(filters, agency=agency))

    def exchange(self, exchange_id: str) -> Exchange:
        """See `HubClient.exchange`."""
        return self._run(self._hub.exchange(exchange_id))

    def submission(self, request_id: str) -> Accepted:
        """See `HubClient.submission`."""
        return self._run(self._hub.submission(request_id))

    def limits(self) -> Limits:
        """See `HubClient.limits`."""
        return self._run(self._hub.limits())

    def checkpoint(self) -> Checkpoint:
        """See `HubClient.checkpoint`."""
        return self._run(self._hub.checkpoint())

    @property
    def _hub(self) -> HubClient:
        if self._client is None:
            raise RuntimeError("open the client first: with SyncHubClient(profile) as hub")
        return self._client

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T | None:
            return await anext(items, None)

        try:
            while (item := self._run(following())) is not None:
                yield item
        finally:
            self._run(_closed(items))

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _closed(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
