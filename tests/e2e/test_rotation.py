"""The hub's key is changed while documents flow: nobody is refused, each receipt stays good."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hub.bootstrap.export import export_hub
from hub.client import HubClient
from hub.client.hub_keys import KeyState
from hub.client.roots import sign_edition
from hub.client.signing import KeySigner
from hub.errors import (
    HubKeyState,
    LogFrozen,
    SecondOperatorNeeded,
    TrustedRootRefused,
    VerificationFailed,
)
from hub.proof.checkpoint import Checkpoint
from hub.proof.merkle import leaf_hash
from hub.proof.note import Note, NoteSignature, VerifierKey, format_note
from hub.proof.signatures import Algorithm
from hub.proof.succession import follow, parse_signed_root, read_trusted_root
from hub.proof.trust import ConsistencyNeeded, Purpose
from tests.e2e.test_custody import type_command
from tests.e2e.test_log_files import LETTER
from tests.e2e.test_restore import lose, restored
from tests.e2e.test_revocation import keys_in_force, write_identity
from tests.e2e.test_signer import ready
from tests.support.hubs import (
    ORIGIN,
    PATIENT,
    QUAN_1,
    TAI_CHINH,
    Founded,
    HubProcess,
    check_hub_is_whole,
    findings_of,
    serving,
)
from tests.support.rotation import BASIS, TwoOperators, two_operators


async def submit(founded: Founded, port: int) -> bytes:
    """A document of an agency; its receipt file."""
    profile = founded.speakers[QUAN_1].profile(port)
    async with HubClient.open(profile, policy=PATIENT) as sender:
        return (await sender.submit(LETTER, [], [TAI_CHINH])).evidence()


async def fetch_all(founded: Founded, port: int) -> int:
    """Collect whatever waits for the recipient; the SDK checks each piece of evidence."""
    profile = founded.speakers[TAI_CHINH].profile(port)
    async with HubClient.open(profile, policy=PATIENT) as recipient:
        items = [item async for item in recipient.inbox()]
        for item in items:
            await recipient.collect(item.envelope_digest)
    return len(items)


class Sending:
    """An agency that sends without a pause, under whichever identity it has by then."""

    def __init__(self, founded: Founded, port: int) -> None:
        self.profile = founded.speakers[QUAN_1].profile(port)
        self.authority = founded.authority
        self.sent = 0
        self._signer: KeySigner | None = None
        self._client: HubClient | None = None
        self._more, self._changed, self._stop = asyncio.Semaphore(0), asyncio.Event(), False

    async def run(self) -> None:
        """Until it is stopped; raises whatever any call was refused with."""
        try:
            while not self._stop:
                self._changed.clear()
                async with HubClient.open(self.profile, signer=self._signer) as self._client:
                    await self._send()
        finally:
            self._stop = True
            self._more.release()

    async def _send(self) -> None:
        assert self._client is not None
        while not (self._stop or self._changed.is_set()):
            await self._client.submit(LETTER, [], [TAI_CHINH])
            self.sent += 1
            self._more.release()

    async def some(self) -> None:
        """Wait until some more were accepted, or none will be."""
        wanted = self.sent + 3
        while self.sent < wanted and not self._stop:
            await self._more.acquire()

    async def renew(self, number: int) -> None:
        """New certificates for signing and for the connection, in use when this returns."""
        assert self._client is not None
        algorithm = Algorithm.ECDSA_P256_SHA256
        signing = self.authority.issue_signing(f"signing {number}", algorithm)
        connection = self.authority.issue_client(f"connection {number}")
        signer = KeySigner.from_pem(signing.private_key_pem, algorithm)
        tls = KeySigner.from_pem(connection.private_key_pem, algorithm)
        await self._client.renew_certificate(signing.certificate_pem, signer, Purpose.SIGNING)
        await self._client.renew_certificate(connection.certificate_pem, tls, Purpose.TRANSPORT)
        self._signer = signer
        write_identity(self.profile, connection)
        self._changed.set()
        await self.some()

    def stop(self) -> None:
        self._stop = True


async def test_three_rotations_under_load_refuse_nobody(founded: Founded, tmp_path: Path):
    """The hub's key and both certificates of an agency, which holds the oldest trusted root."""
    oldest = founded.trust
    async with serving(founded) as hub:
        sending = Sending(founded, hub.port)
        loading = asyncio.create_task(sending.run())
        async with two_operators(founded, hub.port) as operators:
            for number in range(3):
                await sending.some()
                old = [key_id async for key_id in keys_in_force(operators.first, QUAN_1)]
                await operators.rotate()
                await sending.some()
                await sending.renew(number)
                for key_id in old:
                    await operators.first.revoke_certificate(QUAN_1, key_id, "superseded")
                await sending.some()
            sending.stop()
            await loading  # Raises whatever a call was refused with.
            keys = await operators.all()
            plan = await operators.first.hub_keys.plan()
        sent = sending.sent
        assert [each.state for each in keys] == [KeyState.RETIRED] * 3 + [KeyState.ACTIVE]
        assert [key.format() for key in hub.core.signer.keys] == [keys[-1].hub_key]
        # Who never asked is named; the sender began with the oldest edition and came along.
        late = {each.caller: each.edition for each in plan.laggards}
        assert plan.edition == 7
        assert late[TAI_CHINH] == 0
        assert late.get(QUAN_1, 7) >= 5
        # A client that begins only now gets receipts of all four keys.
        assert await fetch_all(founded, hub.port) == sent

    # Offline: from the oldest root over the editions to the newest, with an export of the log.
    export_hub(founded.folder, tmp_path / "log")
    (tmp_path / "oldest.json").write_bytes(oldest.format())
    verified = type_command(
        "verify", founded.folder.clients, "--trust", tmp_path / "oldest.json", "--log",
        tmp_path / "log", "--editions", founded.folder.trusted_roots, "--json",
    )  # fmt: skip
    files = json.loads(verified.stdout)["files"]
    assert len(files) >= 2 * sent
    found = [finding for file in files for finding in file["findings"]]
    assert {finding["verdict"] for finding in found} <= {"proven", "stated", "not checked"}
    # A development authority gives no revocation data; everything else is proven.
    assert {each["step"] for each in found if each["verdict"] == "not checked"} <= {9}
    editions = [(founded.folder.trusted_roots / f"{n}.json").read_bytes() for n in range(2, 8)]
    newest = follow(oldest, editions, at=founded.trust.expires)
    assert newest == founded.trust


async def test_a_client_that_was_away_for_the_whole_rotation_follows(founded: Founded):
    async with serving(founded) as hub:
        before = await submit(founded, hub.port)
        async with two_operators(founded, hub.port) as operators:
            await operators.rotate()
        assert await submit(founded, hub.port)
        state = founded.speakers[QUAN_1].home / "state" / "trust"
        assert sorted(path.name for path in state.iterdir()) == ["2.json", "3.json"]
        assert await fetch_all(founded, hub.port) == 2
    assert before


async def test_a_stolen_key_is_worth_nothing_after_its_position(founded: Founded):
    """Whoever holds the key and the database signs what he likes, under any clock."""
    stolen = load_pem_private_key(founded.folder.log_key.read_bytes(), None)
    async with serving(founded) as hub:
        await submit(founded, hub.port)
        async with two_operators(founded, hub.port) as operators:
            await operators.first.hub_keys.freeze("key-stolen")
            assert not await ready(hub)
            old = await operators.key(KeyState.ACTIVE)
            new = await operators.announce()
            # Nobody could check what the new key signs before this.
            await operators.publish_root()
            await operators.together("compromise-key", old, "stolen")
            await operators.publish_root()
            await operators.together("thaw", reason="key-replaced")
            keys = await operators.all()
        assert await ready(hub)
        after = await submit(founded, hub.port)
        assert after
    root = read_trusted_root(founded.folder.trusted_root.read_bytes())
    closed = keys[0].closed
    assert closed is not None
    assert [each.state for each in keys] == [KeyState.COMPROMISED, KeyState.ACTIVE]
    assert keys[1].hub_key == new

    # The thief's notes carry no time that anybody believes: only sizes.
    key = VerifierKey.parse(old)

    def forged(size: int, tree: bytes) -> bytes:
        body = Checkpoint(ORIGIN, size, tree).body
        return format_note(Note(body, (NoteSignature(ORIGIN, key.key_id, stolen.sign(body)),)))

    with pytest.raises(VerificationFailed, match="closed at size"):
        root.open_checkpoint(forged(closed.size + 1, leaf_hash(b"forged")))
    with pytest.raises(VerificationFailed, match="with another root"):
        root.open_checkpoint(forged(closed.size, leaf_hash(b"forged")))
    # Below, it needs a proof that nobody can make for a forged tree.
    with pytest.raises(ConsistencyNeeded):
        root.open_checkpoint(forged(closed.size - 1, leaf_hash(b"forged")))


async def test_a_frozen_log_takes_nothing_until_two_operators_let_it_go_on(founded: Founded):
    async with serving(founded) as hub:
        profile = founded.speakers[QUAN_1].profile(hub.port)
        async with (
            two_operators(founded, hub.port) as operators,
            HubClient.open(profile) as sender,
        ):
            await operators.second.hub_keys.freeze("drill")
            with pytest.raises(LogFrozen, match="drill"):
                await sender.submit(LETTER, [], [TAI_CHINH])
            assert not await ready(hub)
            # Whose key was stolen is put out all the same.
            stolen = founded.speakers[TAI_CHINH].key_id
            await operators.first.revoke_certificate(TAI_CHINH, stolen, "key-compromise")
            name = await operators.first.name()
            ordered = await operators.first.orders.order_key_action(
                name, "thaw", None, reason="drill-over", basis=BASIS
            )
            with pytest.raises(SecondOperatorNeeded):
                await operators.first.orders.approve(name, ordered.digest)
            await operators.second.orders.approve("operator-2", ordered.digest)
            [repeated] = await sender.resume()
            assert repeated.error is None
            assert await ready(hub)


async def test_an_edition_is_published_by_its_root_keys_only(founded: Founded):
    async with serving(founded) as hub, two_operators(founded, hub.port) as operators:
        with pytest.raises(TrustedRootRefused, match="has everything"):
            await operators.first.hub_keys.draft_trusted_root()
        await operators.announce()
        with pytest.raises(TrustedRootRefused, match="needs 2"):
            await operators.publish_root(holders=1)
        draft = await operators.first.hub_keys.draft_trusted_root()
        with pytest.raises(TrustedRootRefused, match=r"lacks|does not know"):
            await operators.first.hub_keys.publish_trusted_root(draft)
        assert await operators.publish_root() == 2
        with pytest.raises(TrustedRootRefused):
            await operators.publish_root()

        # One that says something else of the hub's keys than its log does.
        await retire_old(operators)
        draft = await operators.first.hub_keys.draft_trusted_root()
        document = json.loads(draft)
        for name, change in (
            ("closes", lambda keys: keys[0]["closed"].update(size=3)),
            ("leaves out", lambda keys: keys.pop(1)),
        ):
            changed = json.loads(json.dumps(document))
            change(changed["logs"][0]["keys"])
            data = json.dumps(changed).encode()
            for path in sorted(founded.folder.root_keys.glob("*.pem"))[:2]:
                data = sign_edition(data, path.read_bytes()).format()
            with pytest.raises(TrustedRootRefused, match=name):
                await operators.first.hub_keys.publish_trusted_root(data)


async def retire_old(operators: TwoOperators) -> None:
    old = await operators.key(KeyState.ACTIVE)
    await operators.together("activate-key", await operators.key(KeyState.ANNOUNCED))
    await operators.first.hub_keys.retire(old)


async def test_a_hub_that_is_killed_in_a_rotation_goes_on_where_it_was(founded: Founded):
    """`kill -9` after each step; the files of the keys are as the log says."""
    async with HubProcess(founded) as hub:

        async def killed() -> None:
            hub.kill()
            await hub.start()

        async with two_operators(founded, hub.port) as operators:
            old = await operators.key(KeyState.ACTIVE)
            new = await operators.announce()
            await killed()
            await operators.publish_root()
            await killed()
            assert await submit(founded, hub.port)
            await operators.together("activate-key", new)
            await killed()
            with pytest.raises(HubKeyState):
                await operators.together("activate-key", new)
            await operators.first.hub_keys.retire(old)
            await killed()
            await operators.publish_root()
            await killed()
            keys = await operators.all()
        assert [each.state for each in keys] == [KeyState.RETIRED, KeyState.ACTIVE]
        assert await submit(founded, hub.port)
        assert await fetch_all(founded, hub.port) == 2
        await hub.terminate()
    assert not founded.folder.log_key.exists()
    assert [path.name for path in founded.folder.log_key.parent.glob("*.pem")] == ["log-key-2.pem"]
    check_hub_is_whole(founded.folder.root)


def operators_command(founded: Founded, port: int, name: str = "operator") -> str:
    """The profile of an operator with the port the hub happens to have."""
    home = founded.folder.clients / name
    text = (home / "profile.toml").read_text()
    (home / "served.toml").write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    return str(home / "served.toml")


async def test_the_commands_lead_a_key_through_its_life(founded: Founded, tmp_path: Path):
    async with serving(founded) as hub:
        first, second = (
            operators_command(founded, hub.port, n) for n in ("operator", "operator-2")
        )

        async def say(*words: object, profile: str = first) -> dict:
            done = await asyncio.to_thread(type_command, *words, "--profile", profile, "--json")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        (old,) = await say("keys", "list")
        assert old["state"] == "active"
        new = await say("keys", "announce")
        plan = await say("keys", "plan")
        assert [step["action"] for step in plan["steps"]] == ["activate", "retire"]
        assert plan["changes"] == [
            f"lists the log key {new['key']}, from size {new['position'] + 1}"
        ]
        draft = tmp_path / "draft.json"
        held = type_command("trust", "show", founded.folder.trusted_root, "--json")
        (authority,) = json.loads(held.stdout)["transport_authorities"]
        assert (authority["from"], authority["until"]) == (None, None)
        await say("trust", "draft", draft, "--end", f"{authority['who']}=2026-01-01T07:00:00+07:00")
        for path in sorted(founded.folder.root_keys.glob("*.pem"))[:2]:
            signed = type_command("trust", "sign", draft, "--key", path, "--json")
            assert signed.returncode == 0, signed.stderr
        assert len(parse_signed_root(draft.read_bytes()).signatures) == 2
        assert (await say("trust", "publish", draft))["edition"] == 2
        reasons = ("--reason", "planned", "--basis", BASIS)
        ordered = await say("keys", "activate", new["key"].split("+")[1], *reasons)
        await say("keys", "approve", ordered["order"], "--yes", profile=second)
        await submit(founded, hub.port)
        await say("keys", "retire", old["key_id"])
        await submit(founded, hub.port)
        signed = await say("keys", "signed", old["key_id"])
        assert signed["state"] == "retired"
        sizes = [each["size"] for each in signed["checkpoints"]]
        assert sizes
        assert max(sizes) <= signed["closing_size"]
        await say("keys", "freeze", "--reason", "drill")
        ordered = await say("keys", "thaw", "--reason", "drill-over", "--basis", BASIS)
        await say("keys", "approve", ordered["order"], "--yes", profile=second)
        shown = type_command("trust", "show", founded.folder.trusted_root)
        assert f"{authority['who']}  – 2026-01-01T00:00:00Z" in shown.stdout


async def test_a_hub_that_lost_its_database_after_a_rotation_is_restored(
    founded: Founded, tmp_path: Path
):
    """Its log was signed by a key that is gone; the editions come back as evidence."""
    async with serving(founded) as hub:
        await submit(founded, hub.port)
        async with two_operators(founded, hub.port) as operators:
            await operators.rotate()
        await submit(founded, hub.port)
    export_hub(founded.folder, tmp_path / "log")
    lose(founded.folder, "database")

    restored(founded.folder, tmp_path / "log", founded.folder.root)

    # Only what operators signed is lost: nobody keeps their words but the hub.
    found = findings_of(founded.folder.root)
    assert {finding.what.partition(": ")[2] for finding in found} == {"its payload is missing"}
    assert len(found) == 2
    async with serving(founded, check=False) as hub:
        await submit(founded, hub.port)
        async with two_operators(founded, hub.port) as operators:
            await operators.rotate()
