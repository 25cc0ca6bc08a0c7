"""What a hub tells whoever runs it, asked of one that runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.application.measuring import METRICS
from hub.client import RegistryClient
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import Signed
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    Running,
    collection,
    digest_of,
    on_both_databases,
    raw_stub,
    refusal_of,
    serving,
    submission,
    until,
)
from tests.support.patience import PATIENCE_S

CONTENT = "nội dung".encode()


@pytest.fixture
async def watched(founded: Founded) -> AsyncIterator[Running]:
    settings = founded.folder.settings
    settings.write_text('metrics_listen = "127.0.0.1:0"\n' + settings.read_text())
    async with serving(founded) as hub:
        yield hub


async def ask(hub: Running, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        return await client.get(f"http://127.0.0.1:{hub.process.operating.port}{path}")


class Page:
    """A page of metrics, read as Prometheus reads it."""

    def __init__(self, text: str) -> None:
        self.families = {each.name: each for each in text_string_to_metric_families(text)}

    def value(self, name: str, **labels: str) -> float:
        (found,) = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == f"lienthong_{name}" and labels.items() <= sample.labels.items()
        ]
        return found

    def labels(self, name: str) -> list[dict[str, str]]:
        return [sample.labels for sample in self.families[f"lienthong_{name}"].samples]


async def page(hub: Running) -> Page:
    answer = await ask(hub, "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Page(answer.text)


@on_both_databases
async def test_what_was_sent_refused_and_collected_is_counted(watched: Running, database_kind: str):
    sender, recipient = watched.speaker(QUAN_1), watched.speaker(TAI_CHINH)
    message = submission(sender, [TAI_CHINH, Y_TE], [CONTENT])
    async with raw_stub(sender.transport, watched.port) as stub:
        await stub.SubmitDocument(message)
        refused = await refusal_of(stub.SubmitDocument(submission(sender, ["H99.9"], [CONTENT])))
        assert refused.reason == "RECIPIENT_UNKNOWN"
    async with raw_stub(recipient.transport, watched.port) as stub:
        await stub.CollectDocument(collection(recipient, digest_of(message.envelope)))

    found = await page(watched)

    submit = "ExchangeService/SubmitDocument"
    assert found.value("calls_total", method=submit, outcome="ok") == 1
    assert found.value("calls_total", method=submit, outcome="RECIPIENT_UNKNOWN") == 1
    assert found.value("call_seconds_count", method=submit) == 2
    assert found.value("events_total", topic="hub.Exchange.DocumentSubmitted") == 1
    assert found.value("events_total", topic="hub.Delivery.DocumentHandedOver") == 1
    assert found.value("batch_seconds_count", step="commit") >= 2
    assert found.value("batch_commands_count") == found.value("queue_seconds_count")
    assert found.value("uncollected_documents", agency=Y_TE) == 1
    assert 0 <= found.value("uncollected_age_seconds", agency=Y_TE) < 60
    assert not [
        each for each in found.labels("uncollected_documents") if TAI_CHINH in each.values()
    ]
    assert found.value("log_events") == watched.core.receipts.size
    assert (found.value("ready"), found.value("frozen"), found.value("leading")) == (1, 0, 1)
    assert bool(found.value("leader_epoch")) == (database_kind == "postgres")
    assert found.value("unsigned_events") == 0
    assert found.value("certificate_days", holder=QUAN_1, purpose="signing") > 100
    assert found.value("certificate_days", holder="operator:operator", purpose="transport") > 100
    assert {each["purpose"] for each in found.labels("certificate_days")} >= {
        "server", "signing-authority", "transport-authority",
    }  # fmt: skip
    assert found.value("hub_key_days", step="announce") > 100
    assert found.value("disk_free_bytes", store="content") > 0
    assert found.value("readings_age_seconds") < 60
    assert "process_resident_memory_bytes" in found.families


async def test_a_revocation_shows_in_what_is_refused_and_in_whose_days_are_counted(
    watched: Running,
):
    sender = watched.speaker(QUAN_1)
    operator = watched.founded.operator_profile(watched.port)
    async with RegistryClient.open(operator) as registry:
        await registry.revoke_certificate(QUAN_1, sender.key_id, "superseded")
    async with raw_stub(sender.transport, watched.port) as stub:
        refused = await refusal_of(stub.SubmitDocument(submission(sender, [TAI_CHINH], [CONTENT])))
    assert refused.reason == "KEY_REVOKED"

    found = await page(watched)

    submit = "ExchangeService/SubmitDocument"
    assert found.value("calls_total", method=submit, outcome="KEY_REVOKED") == 1
    assert found.value("events_total", topic="hub.Agency.CertificateRevoked") == 1
    holders = [(each["holder"], each["purpose"]) for each in found.labels("certificate_days")]
    assert (QUAN_1, "signing") not in holders
    assert (QUAN_1, "transport") in holders


async def test_no_label_holds_an_id_a_digest_or_a_word_of_a_document(watched: Running):
    sender = watched.speaker(QUAN_1)
    async with raw_stub(sender.transport, watched.port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [CONTENT]))
        await refusal_of(stub.SubmitDocument(submission(sender, ["H99.9"], [CONTENT])))

    text = (await ask(watched, "/metrics")).text

    labels = re.findall(r'="([^"]*)"', text)
    assert labels
    for label in labels:
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f]{32}|\s", label), label


async def test_the_page_names_only_metrics_that_are_listed(watched: Running):
    found = await page(watched)
    listed = {metric.name.removesuffix("_total") for metric in METRICS}
    ours = {name for name in found.families if name.startswith("lienthong_")}
    assert ours <= listed


async def test_a_hub_that_is_ready_says_so_and_one_that_is_not_says_why(watched: Running):
    assert (await ask(watched, "/live")).text == "alive\n"
    answer = await ask(watched, "/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "failing": []})

    content = watched.founded.folder.content
    away = content.rename(content.with_name("away"))
    await watched.process.operating.look()
    answer = await ask(watched, "/ready")
    found = await page(watched)
    away.rename(content)

    assert (answer.status_code, answer.json()["failing"]) == (503, ["content"])
    assert found.value("not_ready", check="content") == 1
    assert found.value("ready") == 0
    assert (await ask(watched, "/live")).status_code == 200


async def test_nothing_else_is_served_and_nothing_can_be_changed(watched: Running):
    assert (await ask(watched, "/checkpoint")).status_code == 404
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        url = f"http://127.0.0.1:{watched.process.operating.port}/metrics"
        assert (await client.post(url)).status_code == 405
        assert (await client.head(url)).text == ""


async def test_readiness_leaves_no_event_behind(watched: Running):
    before = watched.core.log.head()
    for _ in range(3):
        watched.process.operating._checks()[-1].holds()
    assert watched.core.log.head() == before


async def test_a_hub_that_nobody_watches_listens_nowhere(hub: Running):
    assert hub.process.operating.port is None
    await until(lambda: hub.process.operating.readiness.ready)


def test_an_address_that_is_taken_is_named(founded: Founded, tmp_path: Path):
    import socket

    from hub.config import ConfigInvalid

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = founded.folder.settings
        settings.write_text(f'metrics_listen = "127.0.0.1:{port}"\n' + settings.read_text())

        async def start() -> None:
            async with serving(founded, check=False):
                pass

        with pytest.raises(ConfigInvalid, match="metrics_listen: cannot listen"):
            asyncio.run(start())


class Asked:
    """A signer that counts how often it is asked to sign."""

    def __init__(self, signer: CheckpointSigner) -> None:
        self._signer = signer
        self.times = 0

    @property
    def last(self) -> Signed | None:
        return self._signer.last

    def sign(self, *tree: Any) -> bytes:
        self.times += 1
        return self._signer.sign(*tree)


async def test_a_signer_that_has_just_signed_is_not_asked_beside_the_lane(watched: Running):
    sender, operating = watched.speaker(QUAN_1), watched.process.operating
    watched.process._tasks[0].cancel()  # Its own looks would come in between.
    asked = Asked(watched.core.signer)
    operating._core = replace(watched.core, signer=asked)
    assert operating._signer_signs()
    before = asked.times

    async with raw_stub(sender.transport, watched.port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH], [CONTENT]))
    assert operating._signer_signs()
    assert asked.times == before
    assert operating._signer_signs()
    assert asked.times == before + 1
