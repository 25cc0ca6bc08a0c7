"""Uploads: taken whole, by their owner alone, resumed anywhere, used once, and forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.memory.determinism import CountedRandomness
from adapters.memory.faults import Fault
from hub.application.sealing import PART_BYTES
from hub.application.uploads import CHUNK_BYTES_MAX, UPLOADS_PER_AGENCY_MAX
from hub.errors import (
    ContentMissing,
    DigestMismatch,
    HubError,
    Overloaded,
    RecipientUnknown,
    RequestMalformed,
    TooLarge,
    Unavailable,
    UploadUnknown,
)
from hub.proof.envelope import ATTACHMENT_BYTES_MAX
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    run,
)

CONTENT = CountedRandomness("content")(2 * PART_BYTES + 1000)
SMALL = b"beside it"
AGE = timedelta(hours=24)
sender, recipient, other = Party(SENDER), Party(RECIPIENT), Party(OTHER)


class LineBroken(Exception):
    """The client is gone."""


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


async def chunks(content: bytes, breaks_after: int | None = None) -> AsyncIterator[bytes]:
    step = CHUNK_BYTES_MAX - 7  # So that chunks and parts do not end together.
    sent = content if breaks_after is None else content[:breaks_after]
    for start in range(0, len(sent), step):
        yield sent[start : start + step]
    if breaks_after is not None:
        raise LineBroken


def begin(
    hub: MemoryHub, content: bytes = CONTENT, agency: str = SENDER, tag: str = ""
) -> tuple[UUID, int]:
    digest = hashlib.sha256(content).digest()
    return run(hub.uploads.begin(agency, len(content), digest, tag))


def take(
    hub: MemoryHub,
    upload_id: UUID,
    content: bytes,
    offset: int = 0,
    *,
    agency: str = SENDER,
    breaks_after: int | None = None,
) -> int:
    async def taken() -> int:
        stream = chunks(content[offset:], breaks_after)
        return await hub.uploads.take(agency, upload_id, offset, stream)

    return run(taken())


def uploaded(hub: MemoryHub, content: bytes = CONTENT, agency: str = SENDER, tag: str = "") -> UUID:
    upload_id, offset = begin(hub, content, agency, tag)
    assert take(hub, upload_id, content, offset, agency=agency) == len(content)
    return upload_id


def submit(hub: MemoryHub, signed: Any, *upload_ids: UUID | None, contents: Any = ()) -> Any:
    return run(hub.exchanges.submit(SENDER, signed, contents, upload_ids))


# --- Beginning ----------------------------------------------------------------------------


def test_the_same_agency_gets_its_unfinished_upload_back(hub):
    first, offset = begin(hub)
    assert offset == 0
    with pytest.raises(LineBroken):
        take(hub, first, CONTENT, breaks_after=PART_BYTES + 5)

    assert begin(hub) == (first, PART_BYTES)
    assert begin(hub.restarted()) == (first, PART_BYTES)


def test_a_whole_upload_is_found_again_until_it_is_used(hub):
    upload_id = uploaded(hub)
    assert begin(hub) == (upload_id, len(CONTENT))
    assert take(hub, upload_id, CONTENT, len(CONTENT)) == len(CONTENT)

    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)

    again, offset = begin(hub)
    assert again != upload_id
    assert offset == 0


def test_two_agencies_with_the_same_content_do_not_learn_of_each_other(hub):
    mine = uploaded(hub)

    theirs, offset = begin(hub, agency=OTHER)

    assert theirs != mine
    assert offset == 0
    unknown = refusal(lambda: take(hub, uuid4(), CONTENT))
    for refused in (
        refusal(lambda: take(hub, mine, CONTENT, len(CONTENT), agency=OTHER)),
        refusal(lambda: take(hub, mine, CONTENT, agency=OTHER)),
        refusal(lambda: take(hub, theirs, CONTENT)),
        refusal(lambda: submit_as(hub, other, other.envelope(RECIPIENT, contents=[CONTENT]), mine)),
    ):
        assert (refused.reason, refused.message) == ("UPLOAD_UNKNOWN", unknown.message)
        assert refused.metadata == unknown.metadata == {}


def submit_as(hub: MemoryHub, party: Party, signed: Any, upload_id: UUID) -> Any:
    return run(hub.exchanges.submit(party.code, signed, [], [upload_id]))


def refusal(call: Callable[[], object]) -> HubError:
    with pytest.raises(HubError) as refused:
        call()
    return refused.value


def test_a_tag_tells_uploads_of_the_same_content_apart(hub):
    ids = {uploaded(hub, tag=tag) for tag in ("", "1", "2")}
    assert len(ids) == 3

    submit(hub, sender.envelope(contents=[CONTENT, CONTENT, CONTENT]), *ids)

    check_whole(hub)


@pytest.mark.parametrize(
    ("size", "sha256", "tag", "error"),
    [
        (0, bytes(32), "", RequestMalformed),
        (5, bytes(31), "", RequestMalformed),
        (5, bytes(33), "", RequestMalformed),
        (5, bytes(32), "t" * 65, RequestMalformed),
        (ATTACHMENT_BYTES_MAX + 1, bytes(32), "", TooLarge),
    ],
)
def test_what_cannot_be_an_upload_is_refused(hub, size, sha256, tag, error):
    with pytest.raises(error):
        run(hub.uploads.begin(SENDER, size, sha256, tag))
    assert list(hub.stores.uploads.uploads()) == []


def test_an_agency_has_so_many_uploads_open_and_others_do_not_feel_it(hub):
    for number in range(UPLOADS_PER_AGENCY_MAX):
        begin(hub, b"%d" % number)

    with pytest.raises(Overloaded) as refused:
        begin(hub, b"one more")

    assert int(refused.value.metadata["retry_after_ms"]) > 0
    begin(hub, b"one more", agency=OTHER)
    upload_id, offset = begin(hub, b"0")
    take(hub, upload_id, b"0", offset)
    submit(hub, sender.envelope(contents=[b"0"]), upload_id)
    begin(hub, b"one more")


# --- Taking -------------------------------------------------------------------------------


def test_an_upload_cut_at_random_places_many_times_is_whole_in_the_end(hub):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for cut in range(40):
        upload_id, offset = begin(hub)
        if offset == len(CONTENT):
            break
        if cut % 5 == 4:
            hub = hub.restarted()
        after = chance.randint(0, len(CONTENT) - offset)
        with pytest.raises(LineBroken):
            take(hub, upload_id, CONTENT, offset, breaks_after=after)

    upload_id, offset = begin(hub)
    assert take(hub, upload_id, CONTENT, offset) == len(CONTENT)
    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)
    check_whole(hub)


@pytest.mark.parametrize("offset", [1, PART_BYTES - 1, PART_BYTES + 1, 2 * PART_BYTES, 2**40])
def test_another_offset_than_the_one_stored_is_refused_and_named(hub, offset):
    upload_id, _ = begin(hub)
    with pytest.raises(LineBroken):
        take(hub, upload_id, CONTENT, breaks_after=PART_BYTES)

    with pytest.raises(RequestMalformed) as refused:
        take(hub, upload_id, CONTENT, offset)

    assert refused.value.metadata["offset"] == str(PART_BYTES)
    assert take(hub, upload_id, CONTENT, PART_BYTES) == len(CONTENT)


def test_more_bytes_than_stated_are_refused_and_the_upload_goes_on(hub):
    upload_id, _ = begin(hub)
    with pytest.raises(TooLarge):
        take(hub, upload_id, CONTENT + b"x")

    again, offset = begin(hub)
    assert again == upload_id
    assert offset in {PART_BYTES, 2 * PART_BYTES}
    assert take(hub, upload_id, CONTENT, offset) == len(CONTENT)


def test_a_chunk_that_is_too_large_is_refused(hub):
    upload_id, _ = begin(hub)

    async def one_large() -> AsyncIterator[bytes]:
        yield CONTENT[: CHUNK_BYTES_MAX + 1]

    with pytest.raises(TooLarge):
        run(hub.uploads.take(SENDER, upload_id, 0, one_large()))


@pytest.mark.parametrize("restart", [False, True])
def test_content_that_changes_between_attempts_is_found_at_the_end_and_discarded(hub, restart):
    changed = CONTENT[:PART_BYTES] + bytes(len(CONTENT) - PART_BYTES)
    upload_id, _ = begin(hub)
    with pytest.raises(LineBroken):
        take(hub, upload_id, CONTENT, breaks_after=PART_BYTES)
    if restart:
        hub = hub.restarted()

    with pytest.raises(DigestMismatch) as refused:
        take(hub, upload_id, changed, PART_BYTES)

    assert refused.value.metadata["actual"] == hashlib.sha256(changed).hexdigest()
    assert refusal(lambda: take(hub, upload_id, CONTENT)).reason == "UPLOAD_UNKNOWN"
    assert list(hub.stores.uploads.uploads()) == []
    assert hub.stores.document_keys.get(upload_id) is None
    uploaded(hub)


def test_an_upload_that_stopped_before_its_digest_was_checked_is_checked_next_time(hub):
    upload_id, _ = begin(hub)
    hub.break_next("uploads.finish", Fault.LOST)
    with pytest.raises(Unavailable):
        take(hub, upload_id, CONTENT)
    with pytest.raises(ContentMissing):
        submit(hub, sender.envelope(contents=[CONTENT]), upload_id)

    hub = hub.restarted()
    assert begin(hub) == (upload_id, len(CONTENT))
    assert take(hub, upload_id, CONTENT, len(CONTENT)) == len(CONTENT)
    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("write", ["document_keys.add", "uploads.create", "uploads.append"])
def test_a_failed_write_is_made_good_by_doing_it_again(hub, write, fault):
    hub.break_next(write, fault)
    with pytest.raises(Unavailable):
        uploaded(hub)

    upload_id = uploaded(hub)
    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)
    run(hub.uploads.sweep(AGE))
    check_whole(hub)
    assert list(hub.stores.uploads.uploads()) == []


def test_content_lost_on_the_disk_is_uploaded_anew(hub):
    upload_id, _ = begin(hub)
    with pytest.raises(LineBroken):
        take(hub, upload_id, CONTENT, breaks_after=PART_BYTES)
    hub = hub.restarted()
    hub.stores.uploads.lose(upload_id)
    assert refusal(lambda: take(hub, upload_id, CONTENT, PART_BYTES)).reason == "UPLOAD_UNKNOWN"

    whole = uploaded(hub)
    hub.stores.uploads.lose(whole)
    envelope = sender.envelope(contents=[CONTENT])
    assert refusal(lambda: submit(hub, envelope, whole)).reason == "UPLOAD_UNKNOWN"
    submit(hub, envelope, uploaded(hub))


# --- Several streams at once --------------------------------------------------------------


def test_a_later_call_takes_over_and_the_earlier_stream_adds_nothing_more(hub):
    async def both() -> None:
        stored, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            async for chunk in chunks(CONTENT[:PART_BYTES]):
                yield chunk
            stored.set()  # Nobody asks for more before.
            await go_on.wait()
            async for chunk in chunks(CONTENT[PART_BYTES:]):
                yield chunk

        digest = hashlib.sha256(CONTENT).digest()
        upload_id, _ = await hub.uploads.begin(SENDER, len(CONTENT), digest, "")
        earlier = asyncio.ensure_future(hub.uploads.take(SENDER, upload_id, 0, slow()))
        await stored.wait()
        again, offset = await hub.uploads.begin(SENDER, len(CONTENT), digest, "")
        assert (again, offset) == (upload_id, PART_BYTES)
        go_on.set()
        with pytest.raises(Unavailable):
            await earlier
        rest = chunks(CONTENT[offset:])
        assert await hub.uploads.take(SENDER, upload_id, offset, rest) == len(CONTENT)

    run(both())


def test_fifty_beginnings_at_once_are_one_upload(hub):
    async def all_at_once() -> set[tuple[UUID, int]]:
        digest = hashlib.sha256(CONTENT).digest()
        calls = [hub.uploads.begin(SENDER, len(CONTENT), digest, "") for _ in range(50)]
        return set(await asyncio.gather(*calls))

    assert len(run(all_at_once())) == 1


# --- Submitting ---------------------------------------------------------------------------


def test_uploaded_and_inline_content_go_together(hub):
    upload_id = uploaded(hub)
    envelope = sender.envelope(contents=[SMALL, CONTENT, SMALL])

    recorded = submit(hub, envelope, None, upload_id, None, contents=[SMALL, SMALL])

    exchange_id = parse_leaf(recorded.receipt.leaf).id
    hub.collect(RECIPIENT, recipient.collect(envelope))
    for index, content in enumerate([SMALL, CONTENT, SMALL]):
        assert hub.download(RECIPIENT, exchange_id, index) == content
    assert list(hub.stores.uploads.uploads()) == []
    # Only the exchange's key opens it from now on.
    assert hub.stores.document_keys.get(upload_id) is None
    check_whole(hub)


def test_the_same_statement_again_gets_the_same_answer_although_the_upload_is_gone(hub):
    upload_id = uploaded(hub)
    envelope = sender.envelope(contents=[CONTENT])
    recorded = submit(hub, envelope, upload_id)

    assert submit(hub, envelope, upload_id) == recorded
    assert submit(hub.restarted(), envelope, upload_id) == recorded
    another = sender.envelope(contents=[CONTENT])
    assert refusal(lambda: submit(hub, another, upload_id)).reason == "UPLOAD_UNKNOWN"
    check_whole(hub)


@pytest.mark.parametrize(
    ("stated", "named", "contents", "error"),
    [
        ([CONTENT], 1, [SMALL], ContentMissing),
        ([CONTENT, SMALL], 1, [], ContentMissing),
        ([CONTENT, SMALL], 1, [SMALL], ContentMissing),
        ([CONTENT], 2, [], RequestMalformed),
        ([CONTENT[:-1]], 1, [], DigestMismatch),
        ([CONTENT[:-1] + b"x"], 1, [], DigestMismatch),
    ],
)
def test_what_does_not_fit_is_refused_and_the_upload_stays(hub, stated, named, contents, error):
    upload_id = uploaded(hub)
    with pytest.raises(error):
        submit(hub, sender.envelope(contents=stated), *[upload_id] * named, contents=contents)

    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)
    check_whole(hub)


def test_an_unfinished_upload_cannot_be_submitted(hub):
    upload_id, _ = begin(hub)
    with pytest.raises(LineBroken):
        take(hub, upload_id, CONTENT, breaks_after=PART_BYTES)

    with pytest.raises(ContentMissing) as refused:
        submit(hub, sender.envelope(contents=[CONTENT]), upload_id)

    assert refused.value.metadata["offset"] == str(PART_BYTES)


def test_a_refused_submission_leaves_the_upload_for_a_mended_one(hub):
    upload_id = uploaded(hub)
    with pytest.raises(RecipientUnknown):
        submit(hub, sender.envelope("H77", contents=[CONTENT]), upload_id)
    refused_in_the_lane(hub, upload_id)

    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)
    check_whole(hub)


def refused_in_the_lane(hub: MemoryHub, upload_id: UUID) -> None:
    class FullLane:
        async def do(self, command: object) -> None:
            raise Overloaded("too many", retry_after_ms="1")

    with pytest.raises(Overloaded):
        run(
            hub.exchanges_on(FullLane()).submit(
                SENDER, sender.envelope(contents=[CONTENT]), [], [upload_id]
            )
        )


# --- Every write of a submission, lost or kept --------------------------------------------

# What is written, what the caller hears, and whether the event stands when it was lost.
WRITES = [
    ("uploads.adopt", Unavailable, False),
    ("content.put", Unavailable, False),
    ("document_keys.add", Unavailable, False),
    ("log.commit", Unavailable, False),
    ("signer.sign", HubError, True),
    ("tree.publish", HubError, True),
    ("document_keys.discard", None, True),
    ("uploads.discard", None, True),
]


@pytest.mark.parametrize("restart", [False, True], ids=["goes-on", "restarted"])
@pytest.mark.parametrize("fault", list(Fault), ids=["lost", "kept"])
@pytest.mark.parametrize(("write", "answer", "stands"), WRITES, ids=[each[0] for each in WRITES])
def test_a_submission_is_finished_by_sending_it_again(hub, write, answer, stands, fault, restart):
    uploads = [uploaded(hub), uploaded(hub, tag="2")]
    envelope = sender.envelope(contents=[CONTENT, CONTENT, SMALL])
    hub.break_next(write, fault)
    if answer is None:
        submit(hub, envelope, *uploads, None, contents=[SMALL])
    else:
        with pytest.raises(answer):
            submit(hub, envelope, *uploads, None, contents=[SMALL])
    recorded_already = stands or (write == "log.commit" and fault is Fault.KEPT)
    if restart:
        hub = hub.restarted()
    assert hub.topics().count("DocumentSubmitted") == recorded_already

    recorded = submit(hub, envelope, *uploads, None, contents=[SMALL])

    assert hub.topics().count("DocumentSubmitted") == 1
    assert submit(hub, envelope, *uploads, None, contents=[SMALL]) == recorded
    run(hub.uploads.sweep(AGE))
    assert list(hub.stores.uploads.uploads()) == []
    assert [hub.stores.document_keys.get(each) for each in uploads] == [None, None]
    check_whole(hub)
    check_whole(hub.restarted())


@pytest.mark.parametrize("fault", list(Fault), ids=["lost", "kept"])
def test_an_upload_in_doubt_serves_no_other_statement_if_the_first_was_kept(hub, fault):
    upload_id = uploaded(hub)
    first, second = (sender.envelope(contents=[CONTENT]) for _ in range(2))
    hub.break_next("log.commit", fault)
    with pytest.raises(Unavailable):
        submit(hub, first, upload_id)

    if fault is Fault.KEPT:
        assert refusal(lambda: submit(hub, second, upload_id)).reason == "UPLOAD_UNKNOWN"
        submit(hub, first, upload_id)
    else:
        submit(hub, second, upload_id)
        assert refusal(lambda: submit(hub, first, upload_id)).reason == "UPLOAD_UNKNOWN"
    assert hub.topics().count("DocumentSubmitted") == 1
    check_whole(hub)


@pytest.mark.parametrize("fault", list(Fault), ids=["lost", "kept"])
def test_an_upload_that_cannot_be_given_back_at_once_is_so_later(hub, fault):
    upload_id = uploaded(hub)
    hub.break_next("uploads.give_back", fault)
    refused_in_the_lane(hub, upload_id)

    submit(hub, sender.envelope(contents=[CONTENT]), upload_id)
    check_whole(hub)


def test_while_a_submission_is_undecided_its_upload_is_nobody_elses(hub):
    upload_id = uploaded(hub)

    class SlowLane:
        def __init__(self) -> None:
            self.asked, self.decide = asyncio.Event(), asyncio.Event()

        async def do(self, command: Any) -> Any:
            self.asked.set()
            await self.decide.wait()
            return await hub.lane.do(command)

    async def scenario() -> None:
        lane = SlowLane()
        exchanges = hub.exchanges_on(lane)
        envelope = sender.envelope(contents=[CONTENT])
        first = asyncio.ensure_future(exchanges.submit(SENDER, envelope, [], [upload_id]))
        await lane.asked.wait()
        for signed in (envelope, sender.envelope(contents=[CONTENT])):
            with pytest.raises(Unavailable):
                await exchanges.submit(SENDER, signed, [], [upload_id])
        # The caller hangs up; its submission is decided all the same.
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(Unavailable):
            await exchanges.submit(SENDER, envelope, [], [upload_id])
        lane.decide.set()
        while True:
            try:
                await exchanges.submit(SENDER, envelope, [], [upload_id])
                break
            except Unavailable:
                await asyncio.sleep(0)
        with pytest.raises(UploadUnknown):
            await exchanges.submit(SENDER, sender.envelope(contents=[CONTENT]), [], [upload_id])

    run(scenario())
    assert hub.topics().count("DocumentSubmitted") == 1
    check_whole(hub)


# --- Forgetting ---------------------------------------------------------------------------


def test_an_upload_is_forgotten_some_time_after_its_last_byte(hub):
    old, _ = begin(hub)
    hub.clock.advance(AGE - timedelta(seconds=1))
    young = uploaded(hub, b"young")
    hub.clock.advance(timedelta(seconds=1))

    assert run(hub.uploads.sweep(AGE)) == 1

    assert [each.upload.upload_id for each in hub.stores.uploads.uploads()] == [young]
    assert hub.stores.document_keys.get(old) is None
    assert begin(hub)[0] != old


@pytest.mark.parametrize("fault", list(Fault), ids=["lost", "kept"])
@pytest.mark.parametrize("write", ["document_keys.discard", "uploads.discard"])
def test_what_could_not_be_forgotten_is_forgotten_by_the_next_sweep(hub, write, fault):
    uploaded(hub)
    hub.clock.advance(AGE)
    hub.break_next(write, fault)
    run(hub.uploads.sweep(AGE))

    run(hub.uploads.sweep(AGE))

    assert list(hub.stores.uploads.uploads()) == []
