"""The fake hub and the real one tell the same story, refusals included."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

from hub.client import HubClient, Submission
from hub.client.testing import FakeHub
from hub.errors import HubError
from hub.proof.envelope import Action
from tests.support.hubs import SAMPLES, found, serving

SENDER, FIRST, SECOND = SAMPLES[:3]


@asynccontextmanager
async def fake_hub(tmp_path):
    with FakeHub(tmp_path) as fake:
        yield [fake.enrol(sample.code, algorithm=sample.algorithm) for sample in SAMPLES[:3]]


@asynccontextmanager
async def real_hub(tmp_path):
    founded = found(tmp_path, samples=SAMPLES[:3])
    async with serving(founded) as hub:
        yield [hub.speaker(sample.code).profile(hub.port) for sample in SAMPLES[:3]]


async def refused(call):
    try:
        return await call
    except HubError as refusal:
        return refusal.reason


class Names(dict):
    """Exchanges by the order in which they were met: ids differ from hub to hub."""

    def of(self, exchange_id):
        return exchange_id and self.setdefault(exchange_id, f"exchange {len(self) + 1}")


async def story(sender, first, second, letter, attachments, folder):
    """Everything that can be seen from outside while three agencies work together."""
    names, told = Names(), []
    everybody = [FIRST.code, SECOND.code]

    sent = await sender.submit(letter, attachments, everybody)
    names.of(sent.exchange_id)
    digest = sent.statement.digest.hex()
    fetched = await first.fetch(digest, folder)
    told.append([path.name for path in fetched.files])
    told.append(await refused(first.answer_recall(digest, agreed=True)))
    told.append(await refused(first.recall(digest, "Không phải của tôi")))
    recalled = await sender.recall(digest, "Sai số liệu")
    told.append(await refused(sender.recall(digest, "Lần nữa")))
    told.append(await refused(second.collect(digest)))
    told.append((await first.collect(digest)).document.subject)
    await first.answer_recall(digest, False, "Đã thực hiện")
    await second.answer_recall(digest, agreed=True)
    told.append(await refused(second.answer_recall(digest, False, "Không")))
    told.append(await refused(second.collect(digest)))
    told.append((await second.report_status(digest, "02", "Đã huỷ")).warnings)

    newer = []
    for action in (Action.UPDATE, Action.REPLACE):
        answer = await sender.submit(letter, [], [SECOND.code], action=action, relates_to=digest)
        names.of(answer.exchange_id)
        newer.append(answer)
    told.append(
        await refused(
            first.submit(letter, [], [SECOND.code], action=Action.REPLACE, relates_to=digest)
        )
    )
    batch = [Submission(letter, [], [SECOND.code]), Submission(letter, [], ["H99"])]
    good, bad = await sender.submit_many(batch)
    names.of(good.exchange_id)
    told.append(bad.reason)

    for hub in (first, second):
        async for item in hub.inbox():
            told.append(
                (
                    item.inbox_seq,
                    names.of(item.exchange_id),
                    item.kind.name,
                    item.state.name,
                    item.recall.name,
                    item.subject,
                    names.of(item.by_exchange),
                    names.of(item.replaced_by),
                    item.attachment_count,
                    item.expired,
                )
            )
    for hub in (first, second, sender):
        async for item in hub.outbox():
            said = await hub.statement(item.position)
            told.append(
                (
                    item.outbox_seq,
                    names.of(item.exchange_id),
                    item.recipient,
                    item.kind.name,
                    item.code,
                    said.author,
                    type(said.payload).__name__,
                    said.about.payload.document.subject,
                )
            )
    read = await second.statement(recalled.position)
    told.append((read.author, read.payload.reason))
    told.append(await refused(first.statement(newer[0].position)))
    told.append(await refused(first.statement(newer[0].position + 1)))
    for exchange_id in names:
        exchange = await sender.exchange(exchange_id)
        told.append(names.of(exchange.replaced_by))
        told += [
            (line.recipient, line.state.name, line.recall.name) for line in exchange.deliveries
        ]
    events = [sent.fact, fetched.arrived.fact, recalled.fact, read.fact]
    told += [(fact.event.topic, sorted(fact.event.data)) for fact in events]
    return told


async def test_the_fake_hub_tells_what_the_real_one_tells(letter, attachments, tmp_path):
    told = []
    for hub in (fake_hub, real_hub):
        home = tmp_path / hub.__name__
        home.mkdir()
        async with hub(home) as profiles, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(HubClient.open(one)) for one in profiles]
            told.append(await story(*clients, letter, attachments, home / "in"))
    fake, real = told
    assert fake == real
    assert len(real) > 40
