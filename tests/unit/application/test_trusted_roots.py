"""What the hub drafts and publishes as the next edition of the trusted root, or refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.memory.trust import MemoryRootFiles, MemoryTrustFetches
from hub.application.registry import Caller, Role
from hub.application.trust_ends import TrustEnd, fingerprint
from hub.application.trusted_roots import LIFE, PublishedRoots, TrustedRoots
from hub.errors import TrustedRootRefused
from hub.proof.note import KeyType, VerifierKey
from hub.proof.statements import ACTIVATE
from hub.proof.succession import RootSignature, SignedRoot, bytes_to_sign, read_trusted_root
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.tree import Tree
from hub.proof.trust import (
    CertificateAuthority,
    Closing,
    LogKey,
    Purpose,
    RootKeys,
    TrustedLog,
    TrustedRoot,
    TrustedWitness,
    parse_trusted_root,
)
from hub.proof.window import Window
from tests.support.builders import (
    OPERATOR,
    ORIGIN,
    SECOND_OPERATOR,
    START,
    MemoryHub,
    at_once,
    check_whole,
    first_operator,
    new_hub,
    new_request_id,
    run,
    second_operator,
)

HOLDERS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3)]
WITNESS = VerifierKey("witness.example/w1", KeyType.COSIGNATURE, bytes(range(32)))
AUTHORITY = CertificateAuthority(Purpose.SIGNING, b"an authority's certificate")
CLOCK = TimestampAuthority("tsa", (b"a certificate",), START - timedelta(days=30))
OTHER_LOG = TrustedLog(
    "older.example/log", (LogKey(VerifierKey("older.example/log", KeyType.ED25519, bytes(32)), 0),)
)
DAY = timedelta(days=1)


def holder_key(holder: Ed25519PrivateKey) -> VerifierKey:
    public = holder.public_key().public_bytes_raw()
    return VerifierKey("root/holder", KeyType.ED25519, public)


class Scene:
    """A hub whose first edition of the trusted root lists one of everything."""

    def __init__(self) -> None:
        self.hub: MemoryHub = new_hub()
        self.hub.let_in(SECOND_OPERATOR)
        self.old = self.hub.signer.verifier_key
        self.first = TrustedRoot(
            version=1,
            logs=(TrustedLog(ORIGIN, (LogKey(self.old, 0),)), OTHER_LOG),
            witnesses=(TrustedWitness(WITNESS),),
            certificate_authorities=(AUTHORITY,),
            timestamp_authorities=(CLOCK,),
            root_keys=RootKeys(2, tuple(map(holder_key, HOLDERS))),
            expires=START + LIFE,
        )
        self.files = MemoryRootFiles(self.first.format())
        self.added: tuple[TrustedWitness, ...] = ()
        self.roots = TrustedRoots(
            origin=ORIGIN,
            lane=self.hub.lane,
            registry=lambda: self.hub.engine.registry,
            files=self.files,
            fetches=MemoryTrustFetches(),
            root_at=self.root_at,
            extend=self._extended,
            offload=at_once,
            clock=self.hub.clock,
        )
        self.put_out = PublishedRoots(
            log=self.hub.log, registry=lambda: self.hub.engine.registry, files=self.files
        )

    def _extended(self, root: TrustedRoot) -> TrustedRoot:
        return replace(root, witnesses=(*root.witnesses, *self.added))

    def root_at(self, size: int) -> bytes:
        return Tree(self.hub.stores.tree.tile).root(size)

    def announce(self) -> VerifierKey:
        run(self.hub.hub_keys.announce(OPERATOR, new_request_id()))
        return self.hub.hub_keys.all()[-1].key

    def replace_key(self) -> Closing:
        """Where the old key was closed."""
        order = first_operator.key_order(ACTIVATE, self.announce())
        self.hub.order_key(OPERATOR, order)
        self.hub.approve(SECOND_OPERATOR, second_operator.approval(order))
        run(self.hub.hub_keys.retire(OPERATOR, new_request_id(), self.old.format()))
        size = self.hub.hub_keys.all()[0].size
        assert size is not None
        return Closing(size, self.root_at(size))

    def draft(self, *ends: TrustEnd) -> TrustedRoot:
        return parse_trusted_root(run(self.roots.draft(ends)))

    def publish(self, edition: TrustedRoot | bytes, request_id: str = "") -> None:
        data = edition if isinstance(edition, bytes) else signed(edition)
        run(self.roots.publish(OPERATOR, request_id or new_request_id(), data))
        self.put_out()

    def refused(self, edition: TrustedRoot | bytes) -> str:
        before = self.hub.topics()
        with pytest.raises(TrustedRootRefused) as refusal:
            self.publish(edition)
        assert self.hub.topics() == before, "a refusal leaves no trace"
        return str(refusal.value)

    def published(self) -> int:
        return self.hub.topics().count("TrustedRootPublished")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def signed(edition: TrustedRoot, *, by: int = 2) -> bytes:
    payload = edition.format()
    signatures = tuple(
        RootSignature(holder_key(each), each.sign(bytes_to_sign(payload))) for each in HOLDERS[:by]
    )
    return SignedRoot(payload, signatures).format()


def with_keys(edition: TrustedRoot, *keys: LogKey) -> TrustedRoot:
    return replace(edition, logs=(TrustedLog(ORIGIN, keys), OTHER_LOG))


# --- Drafts --------------------------------------------------------------------------------


def test_where_nothing_is_new_and_the_end_is_far_there_is_no_draft(scene):
    with pytest.raises(TrustedRootRefused, match="has everything and ends late"):
        scene.draft()
    assert run(scene.roots.changes()) == []


def test_a_year_before_its_end_an_edition_is_renewed(scene):
    scene.hub.clock.advance(LIFE - timedelta(days=364))

    draft = scene.draft()

    assert draft.version == 2
    assert draft.expires == (scene.hub.clock() + LIFE).replace(microsecond=0)
    assert draft.logs == scene.first.logs


def test_a_draft_lists_an_announced_key_from_behind_its_announcement_on(scene):
    new = scene.announce()

    log, other = scene.draft().logs

    announced = scene.hub.hub_keys.all()[-1].announced
    assert log.keys == (LogKey(scene.old, 0), LogKey(new, announced + 1))
    assert other == OTHER_LOG


def test_a_draft_closes_a_key_where_the_log_closed_it(scene):
    closing = scene.replace_key()

    assert scene.draft().logs[0].keys[0] == LogKey(scene.old, 0, closing)
    assert f"closes the log key {scene.old.format()} at size {closing.size}" in run(
        scene.roots.changes()
    )


def test_a_draft_has_what_the_settings_name_since(scene):
    added = TrustedWitness(VerifierKey("witness.example/w2", KeyType.COSIGNATURE, bytes(32)))
    scene.added = (added,)

    assert scene.draft().witnesses == (TrustedWitness(WITNESS), added)
    assert run(scene.roots.changes()) == ["lists the witness witness.example/w2"]


def test_a_draft_ends_whom_it_is_told(scene):
    until = START - DAY
    whom = (WITNESS.format(), fingerprint(AUTHORITY.certificate), CLOCK.name)

    draft = scene.draft(*(TrustEnd(each, until + timedelta(microseconds=7)) for each in whom))

    assert [each.window for each in draft.witnesses] == [Window(None, until)]
    assert [each.window for each in draft.certificate_authorities] == [Window(None, until)]
    assert [each.not_after for each in draft.timestamp_authorities] == [until]
    scene.publish(draft)
    assert read_trusted_root(scene.files.newest()) == draft
    check_whole(scene.hub)


@pytest.mark.parametrize(
    ("who", "until", "words"),
    [
        ("nobody", START, "does not list"),
        ("tsa", CLOCK.not_before - DAY, "not trusted yet"),
    ],
)
def test_an_end_that_cannot_be_is_refused(scene, who, until, words):
    with pytest.raises(TrustedRootRefused, match=words):
        scene.draft(TrustEnd(who, until))


def test_an_end_is_only_ever_moved_back(scene):
    scene.publish(scene.draft(TrustEnd(WITNESS.format(), START - DAY)))

    with pytest.raises(TrustedRootRefused, match="only ever moved back"):
        scene.draft(TrustEnd(WITNESS.format(), START))
    earlier = scene.draft(TrustEnd(WITNESS.format(), START - 2 * DAY))
    assert earlier.witnesses[0].window.not_after == START - 2 * DAY


def test_a_draft_ends_a_bounded_number(scene):
    with pytest.raises(TrustedRootRefused, match="at most"):
        scene.draft(*[TrustEnd("tsa", START)] * 101)


# --- Publishing ----------------------------------------------------------------------------


def test_a_signed_draft_is_published_and_is_then_the_newest(scene):
    scene.announce()
    draft = scene.draft()

    scene.publish(draft)

    assert scene.published() == 1
    assert run(scene.roots.newest()) == draft
    check_whole(scene.hub)


def test_the_same_request_again_has_the_same_answer_and_another_is_refused(scene):
    scene.announce()
    data, request_id = signed(scene.draft()), new_request_id()

    scene.publish(data, request_id)
    scene.publish(data, request_id)

    assert scene.published() == 1
    assert "published already" in scene.refused(data)


@pytest.mark.parametrize("by", [0, 1])
def test_too_few_signatures_are_refused(scene, by):
    scene.announce()
    assert "needs 2" in scene.refused(signed(scene.draft(), by=by))


def test_an_edition_that_does_not_follow_is_refused(scene):
    scene.announce()
    assert "does not follow" in scene.refused(replace(scene.draft(), version=3))


def test_an_unsigned_draft_and_junk_are_refused(scene):
    scene.announce()
    scene.refused(scene.draft().format())
    scene.refused(b"junk")
    assert "more than" in scene.refused(b" " * (3 << 20))


@pytest.mark.parametrize("expires", [None, START])
def test_an_edition_without_an_end_or_past_it_is_refused(scene, expires):
    scene.announce()
    scene.hub.clock.advance(DAY)
    assert "expired, or says no end" in scene.refused(replace(scene.draft(), expires=expires))


def test_a_key_that_the_log_does_not_know_is_refused(scene):
    stranger = LogKey(VerifierKey(ORIGIN, KeyType.ED25519, bytes(range(32))), 1)
    edition = replace(scene.first, version=2, expires=START + LIFE)
    edition = with_keys(edition, *edition.logs[0].keys, stranger)
    assert "does not know" in scene.refused(edition)


def test_an_edition_that_leaves_out_a_key_of_the_log_is_refused(scene):
    """Drafted before the announcement, it would lead its readers past the key."""
    stale = replace(scene.first, version=2, expires=START + LIFE)
    scene.announce()
    assert "leaves out a key of this log" in scene.refused(stale)


def test_a_key_is_closed_where_the_log_closed_it_or_not_at_all(scene):
    closing = scene.replace_key()
    draft = scene.draft()
    (old, new) = draft.logs[0].keys
    for wrong in (
        Closing(closing.size - 1, scene.root_at(closing.size - 1)),
        replace(closing, root=bytes(32)),
    ):
        edition = with_keys(draft, replace(old, closed=wrong), new)
        assert "otherwise than the log does" in scene.refused(edition)
    alive = with_keys(draft, old, replace(new, closed=replace(closing, size=new.from_size)))
    assert "otherwise than the log does" in scene.refused(alive)

    scene.publish(draft)
    check_whole(scene.hub)


def test_an_edition_that_forgets_a_witness_is_refused(scene):
    scene.announce()
    assert "leaves out a witness" in scene.refused(replace(scene.draft(), witnesses=()))


def test_what_is_recorded_is_the_digest_and_who_did_it(scene):
    scene.announce()
    scene.publish(scene.draft())
    event = scene.hub.events()[-1]
    assert event.topic.endswith("TrustedRootPublished")
    assert (event.data["edition"], event.data["by"]) == (2, OPERATOR)
    assert scene.hub.log.evidence(bytes.fromhex(event.data["digest"])) == scene.files.edition(2)


# --- Handing out ---------------------------------------------------------------------------


def test_whoever_asks_gets_what_follows_and_is_remembered_with_what_it_holds(scene):
    caller = Caller(Role.OPERATOR, OPERATOR)
    for days in (1, 2):
        scene.publish(scene.draft(TrustEnd("tsa", START - days * DAY)))

    assert run(scene.roots.after(caller, 1)) == (
        [scene.files.edition(2), scene.files.edition(3)],
        False,
    )
    assert run(scene.roots.after(caller, 3)) == ([], False)
    behind = {each.caller.name for each in run(scene.roots.laggards())}
    assert SECOND_OPERATOR in behind
    assert OPERATOR not in behind


def test_who_claims_an_edition_that_nobody_published_holds_none(scene):
    caller = Caller(Role.OPERATOR, OPERATOR)
    assert run(scene.roots.after(caller, 7)) == ([], False)
    assert OPERATOR in {each.caller.name for each in run(scene.roots.laggards())}
