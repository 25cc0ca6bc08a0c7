"""A submission with content: the content first, then the event, then what becomes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from hub.application.commands import SubmitDocument
from hub.application.lane import Lane, Recorded
from hub.application.offload import Offloader, SeeThrough
from hub.application.ports import Claim, Clock, ContentStore
from hub.application.uploads import Upload, Uploads
from hub.application.verdicts import Demand, Demands, Verdict
from hub.errors import HubError, ReceiptDelayed, Unavailable
from hub.proof.leaf import parse_leaf


class Submissions:
    """Puts content under a new exchange, has the exchange recorded, and acts on the outcome."""

    def __init__(
        self,
        *,
        lane: Lane,
        content: ContentStore,
        uploads: Uploads,
        offload: Offloader,
        clock: Clock,
        demands: Demands,
    ) -> None:
        self._clock = clock
        self._demands = demands
        self._lane = lane
        self._content = content
        self._uploads = uploads
        self._offload = offload
        self._see_through = SeeThrough()

    async def submit(
        self, command: SubmitDocument, contents: Sequence[bytes], uploads: Sequence[Upload | None]
    ) -> Recorded:
        """The receipt of what the command recorded, or of what its request id recorded before.

        `uploads` is empty, or has an entry for each attachment: None for one whose content is
        the next of `contents`. A caller that hangs up changes nothing: an upload is free again
        only when its fate is known. Raises what the lane raises, and Unavailable.
        """
        claimed = [upload for upload in uploads if upload is not None]
        self._uploads.claim(claimed, command.exchange_id)
        sources = _in_order(contents, uploads)
        return await self._see_through(self._submit(command, sources, claimed))

    async def _submit(
        self, command: SubmitDocument, sources: Sequence[bytes | Upload], claimed: Sequence[Upload]
    ) -> Recorded:
        try:
            # (1) Content first: an event must never point at bytes we do not hold. If we stop
            # here, parts without an event are left: the next start gives uploads back and
            # sweeps the rest.
            await self._store(command, sources, claimed)
            # (2) The event. If we stop here, the log knows the exchange and its uploads still
            # have a record; the next start removes that.
            recorded = await self._record(command, claimed)
            # (3) The uploads are spent.
            if parse_leaf(recorded.receipt.leaf).id == command.exchange_id:
                await self._uploads.settle(claimed)
            else:
                # The same request came twice at once, and the other one was recorded.
                await self._take_back(command.exchange_id, claimed)
            return recorded
        finally:
            self._uploads.leave_in_doubt(claimed)

    async def _store(
        self, command: SubmitDocument, sources: Sequence[bytes | Upload], claimed: Sequence[Upload]
    ) -> None:
        def store() -> None:
            for index, source in enumerate(sources):
                place = Claim(command.exchange_id, index)
                if isinstance(source, Upload):
                    self._uploads.adopt(source, place, command.document_key)
                else:
                    self._content.put(command.exchange_id, index, source, command.document_key)

        try:
            await self._offload(store)
        except OSError as error:
            await self._uploads.release(claimed)
            raise Unavailable(
                "the content cannot be stored now; repeat the very same call"
            ) from error

    async def _record(self, command: SubmitDocument, claimed: Sequence[Upload]) -> Recorded:
        try:
            if command.demanded is not None:
                verdict = await self._examined(command, command.demanded)
                command = replace(command, verdict=verdict)
            return await self._lane.do(command)
        except (Unavailable, ReceiptDelayed):
            raise  # Perhaps recorded: the content must stay. An orphan is swept at start.
        except HubError:
            await self._take_back(command.exchange_id, claimed)
            raise

    async def _examined(self, command: SubmitDocument, demand: Demand) -> Verdict:
        attachments = command.envelope.document.attachments
        verdict = await self._demands.examined(
            command.exchange_id, attachments, command.document_key, self._clock()
        )
        demand.require_met(verdict)
        return verdict

    async def _take_back(self, exchange_id: UUID, claimed: Sequence[Upload]) -> None:
        await self._uploads.release(claimed)
        # What could not be given back lies there still, and must not go with the rest.
        if all(upload.claim is None for upload in claimed):
            await self._offload(lambda: self._content.discard(exchange_id))


def _in_order(
    contents: Sequence[bytes], uploads: Sequence[Upload | None]
) -> Sequence[bytes | Upload]:
    if not uploads:
        return contents
    inline = iter(contents)
    return [next(inline) if upload is None else upload for upload in uploads]
