"""A signer on another machine: who may ask it, what stops it, and that it never signs twice."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import LedgerMismatch
from hub.proof.merkle import leaf_hash, node_hash
from keys import signer_tls
from keys.age import read_plain
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned
from keys.link import End, Link
from keys.link_tls import PROTOCOL, LinkContexts
from keys.log_keys import FileLogKeys
from keys.remote_signer import (
    RemoteSigner,
    SignerCertificateEnded,
    SignerLinkBroken,
    SignerNotTrusted,
    SignerTurnsAway,
    SignerUnreachable,
)
from keys.signer_wire import MESSAGE_BYTES_MAX, frame
from keys.ways import TlsWay
from tests.support.patience import PATIENCE_S
from tests.support.signers import Linked, OneKey, Telling, introduce

ORIGIN = "hub.example/log"
A, B, C = (leaf_hash(each) for each in (b"a", b"b", b"c"))
AB, AC = node_hash(A, B), node_hash(A, C)
YESTERDAY = datetime.now(UTC) - timedelta(days=2)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[CheckpointSigner]:
    with closing(LastSigned.create(tmp_path / "last-signed.db")) as memory:
        yield CheckpointSigner(ORIGIN, OneKey(Ed25519PrivateKey.generate()), memory)


@pytest.fixture
def linked(tmp_path: Path) -> Linked:
    return Linked(tmp_path)


@pytest.fixture
def there(linked: Linked, local: CheckpointSigner) -> Iterator[Telling]:
    with linked.answering(local) as telling:
        yield telling


def remote(
    linked: Linked, port: int, link: Link | None = None, timeout_s: float = PATIENCE_S
) -> RemoteSigner:
    return RemoteSigner(ORIGIN, linked.way(port, link), timeout_s)


@pytest.fixture
def hub(linked: Linked, there: Telling) -> RemoteSigner:
    return remote(linked, there.port)


# --- Who may ask --------------------------------------------------------------------------


def test_a_hub_that_nobody_let_in_gets_nothing_signed(
    linked: Linked, there: Telling, local: CheckpointSigner, tmp_path: Path
):
    stranger = Link(tmp_path / "stranger", End.HUB)
    linked.make(stranger)
    stranger.accept(linked.signer.current().pem.encode(), datetime.now(UTC))

    with pytest.raises(SignerTurnsAway, match="does not accept this hub's certificate"):
        remote(linked, there.port, stranger).sign(1, A, [])

    assert local.last is None
    event, more = there.first()
    assert event == "turned away a connection"
    assert more["peer"] == "127.0.0.1"


def test_who_shows_no_certificate_gets_nothing_signed(there: Telling, local: CheckpointSigner):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", there.port), PATIENCE_S) as plain,
        context.wrap_socket(plain) as connection,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
    ):
        connection.recv(1)
    assert local.last is None


def test_a_signer_that_nobody_accepted_here_is_asked_nothing(
    linked: Linked, local: CheckpointSigner, tmp_path: Path
):
    (tmp_path / "other").mkdir()
    other = Linked(tmp_path / "other")
    # It would let our hub in, and sign: but it is not the one.
    other.signer.accept(linked.hub.current().pem.encode(), datetime.now(UTC))
    with other.answering(local) as there, pytest.raises(SignerNotTrusted, match="not one that"):
        remote(linked, there.port).sign(1, A, [])
    assert local.last is None


@pytest.mark.parametrize("end", End)
def test_whoever_an_accepted_certificate_vouches_for_is_not_accepted(
    end: End, linked: Linked, local: CheckpointSigner, tmp_path: Path
):
    """Pinned is the certificate, not what it could issue: no end is an authority."""
    link, peer = (linked.hub, linked.signer) if end is End.HUB else (linked.signer, linked.hub)
    issuer = an_authority(link)
    for each in peer.accepted():
        peer.forget(each.fingerprint)
    peer.accept(issuer, datetime.now(UTC))

    with linked.answering(local) as there, pytest.raises(SignerUnreachable):
        remote(linked, there.port).sign(1, A, [])
    assert local.last is None


def an_authority(link: Link) -> bytes:
    """A certificate for this end that may issue others, which has issued the one it shows."""
    key = Ed25519PrivateKey.generate()
    usage = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    )
    ours = load_pem_private_key(link.key_file(link.current()).read_bytes(), None)
    authority = certified("authority", "authority", key.public_key(), key, usage, ca=True)
    issued = certified("here", "authority", ours.public_key(), key, usage, ca=False)
    old = link.key_file(link.current())
    (link.folder / "certificate.pem").write_bytes(issued)
    old.rename(link.key_file(link.current()))
    return authority


def certified(
    name: str, issuer: str, public: Any, by: Any, usage: x509.ExtendedKeyUsage, *, ca: bool
) -> bytes:
    named = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in (name, issuer)
    ]
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer_name=named[1], subject_name=named[0])
    builder = builder.public_key(public).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1))
    builder = builder.not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    certificate = builder.add_extension(usage, critical=False).sign(by, None)
    return certificate.public_bytes(Encoding.PEM)


def test_a_hub_whose_certificate_has_ended_is_told_so(local: CheckpointSigner, tmp_path: Path):
    linked = Linked(tmp_path)
    replace(linked, linked.hub, linked.signer)
    with linked.answering(local) as there:
        with pytest.raises(SignerCertificateEnded, match="this hub's certificate has ended on"):
            remote(linked, there.port).sign(1, A, [])
        # Its own clock may be wrong: the signer has one too.
        contexts = LinkContexts(linked.hub, lambda: read_plain)
        way = TlsWay("127.0.0.1", there.port, linked.hub, contexts, lambda: YESTERDAY)
        with pytest.raises(SignerCertificateEnded, match="to it, this hub's certificate has ended"):
            RemoteSigner(ORIGIN, way, PATIENCE_S).sign(1, A, [])
    assert local.last is None


def test_a_signer_whose_certificate_has_ended_is_asked_nothing(
    local: CheckpointSigner, tmp_path: Path
):
    linked = Linked(tmp_path)
    replace(linked, linked.signer, linked.hub)
    with (
        linked.answering(local) as there,
        pytest.raises(SignerCertificateEnded, match="its certificate has ended"),
    ):
        remote(linked, there.port).sign(1, A, [])
    assert local.last is None


def replace(linked: Linked, link: Link, peer: Link) -> None:
    """The certificate of one end by one that has ended, and that the other once accepted."""
    linked.make(link, YESTERDAY)
    link.switch()
    peer.accept(link.current().pem.encode(), YESTERDAY)


def test_the_signer_of_another_log_is_not_ours(linked: Linked, there: Telling, hub: RemoteSigner):
    hub.sign(1, A, [])
    strange = RemoteSigner("other.example/log", linked.way(there.port), PATIENCE_S)
    with pytest.raises(LedgerMismatch, match="the signer is that of"):
        _ = strange.keys
    with pytest.raises(LedgerMismatch, match="the signer is that of"):
        _ = strange.last


def test_a_key_made_by_the_signer_of_another_log_is_not_taken(linked: Linked, tmp_path: Path):
    from keys.file import SECRET_MODE, create_file, private_key_pem

    key = private_key_pem(Ed25519PrivateKey.generate())
    create_file(tmp_path / "log-key.pem", key, mode=SECRET_MODE)
    with closing(LastSigned.create(tmp_path / "last-signed.db")) as memory:
        signer = CheckpointSigner(ORIGIN, FileLogKeys(tmp_path, read_plain), memory)
        with linked.answering(signer) as there:
            strange = RemoteSigner("other.example/log", linked.way(there.port), PATIENCE_S)
            with pytest.raises(LedgerMismatch, match="the signer is that of"):
                strange.make_key()


def test_of_two_leaders_the_one_that_slept_is_refused(linked: Linked, there: Telling):
    awake, asleep = remote(linked, there.port), remote(linked, there.port)
    asleep.sign(1, A, [])
    awake.sign(2, AB, [B])

    with pytest.raises(LedgerMismatch, match="under another root") as refused:
        asleep.sign(2, AC, [C])
    with pytest.raises(LedgerMismatch, match="rolled back") as rolled_back:
        asleep.sign(1, A, [])
    assert (refused.value.position, rolled_back.value.position) == (None, 1)


# --- Certificates change ------------------------------------------------------------------


def test_both_certificates_are_replaced_while_the_hub_goes_on_asking(
    linked: Linked, there: Telling, hub: RemoteSigner
):
    first = hub.sign(1, A, [])
    ended, failures, asked = threading.Event(), [], 0

    def ask() -> None:
        nonlocal asked
        while not ended.is_set():
            try:
                assert hub.sign(1, A, []) == first
                asked += 1
            except Exception as error:
                failures.append(error)

    def until_asked() -> None:
        """A question that is under way is asked by what was so when it began."""
        goal = asked + 3
        while asked < goal and not failures:
            thread.join(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(3):
        for link, peer in ((linked.hub, linked.signer), (linked.signer, linked.hub)):
            old, new = link.current(), linked.make(link)
            peer.accept(new.pem.encode(), datetime.now(UTC))
            until_asked()
            link.switch()
            until_asked()
            peer.forget(old.fingerprint)
    ended.set()
    thread.join()

    assert failures == []
    assert [len(each.accepted()) for each in (linked.hub, linked.signer)] == [1, 1]
    assert [len(list(each.key_files())) for each in (linked.hub, linked.signer)] == [1, 1]


def test_a_certificate_that_is_forgotten_counts_no_more_from_the_next_question_on(
    linked: Linked, there: Telling, hub: RemoteSigner, local: CheckpointSigner
):
    hub.sign(1, A, [])
    # Nothing of the first connection lets the next one in: there are no sessions to resume.
    linked.signer.forget(linked.hub.current().fingerprint)
    linked.signer.accept(another_hub(linked), datetime.now(UTC))
    with pytest.raises(SignerTurnsAway):
        hub.sign(2, AB, [B])
    assert local.last is not None
    assert local.last.size == 1


def another_hub(linked: Linked) -> bytes:
    other = Link(linked.hub.folder.with_name("another-hub"), End.HUB)
    return linked.make(other).pem.encode()


def test_a_signer_that_accepts_nobody_signs_nothing_and_says_so(
    linked: Linked, there: Telling, hub: RemoteSigner
):
    linked.signer.forget(linked.hub.current().fingerprint)
    with pytest.raises(SignerUnreachable):
        hub.sign(1, A, [])
    assert "accepts nobody" in str(there.first()[1]["error"])

    introduce(linked.hub, linked.signer)
    assert hub.sign(1, A, [])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda link: link.key_file(link.current()).unlink(), "cannot be read"),
        (lambda link: link.key_file(link.current()).chmod(0o644), "lets others at it"),
        (lambda link: link.key_file(link.current()).write_bytes(b"garbage"), "is not the key"),
        (lambda link: (link.folder / "certificate.pem").write_bytes(b""), "not exactly one"),
        (lambda link: (link.folder / "certificate.pem").unlink(), "has no such certificate"),
        (lambda link: link.forget(link.accepted_names()[0]), "accepts nobody"),
    ],
)
def test_a_broken_link_is_named_and_asks_nobody(linked: Linked, spoil: Any, said: str):
    spoil(linked.hub)
    # Nobody listens there: it does not come to that.
    with pytest.raises(SignerLinkBroken, match=said) as broken:
        remote(linked, 1).sign(1, A, [])
    assert "PRIVATE" not in str(broken.value)


def test_the_end_of_the_certificate_that_the_signer_shows_is_known(
    linked: Linked, there: Telling, hub: RemoteSigner
):
    assert isinstance(hub.way, TlsWay)
    assert hub.way.shown_until is None
    _ = hub.keys
    assert hub.way.shown_until == linked.signer.current().ends


# --- A bad connection ---------------------------------------------------------------------


@contextmanager
def behaving(linked: Linked, behave: Any, *, alpn: tuple[str, ...] = (PROTOCOL,)) -> Iterator[int]:
    """A signer's certificate in the hands of whoever behaves so, with each connection."""
    context = LinkContexts(linked.signer, lambda: read_plain).newest()
    context.set_alpn_protocols(list(alpn))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with ExitStack() as stack:
                plain = stack.enter_context(listener.accept()[0])
                plain.settimeout(PATIENCE_S)
                # Whoever has given up does not hear the rest.
                stack.enter_context(suppress(OSError))
                behave(stack.enter_context(context.wrap_socket(plain, server_side=True)))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_an_answer_that_is_cut_off_is_no_answer_and_the_same_tree_gets_the_same_bytes(
    linked: Linked, there: Telling, hub: RemoteSigner
):
    first = hub.sign(1, A, [])
    whole = frame({"note": first.decode()})
    for upto in (2, 4, len(whole) // 2, len(whole) - 1):

        def cut(connection: ssl.SSLSocket, upto: int = upto) -> None:
            connection.recv(MESSAGE_BYTES_MAX)
            connection.sendall(whole[:upto])

        with behaving(linked, cut) as port, pytest.raises(SignerUnreachable, match="hung up"):
            remote(linked, port).sign(1, A, [])
    assert hub.sign(1, A, []) == first


def test_an_answer_that_drips_in_is_given_up(linked: Linked):
    released = threading.Event()

    def drip(connection: ssl.SSLSocket) -> None:
        connection.recv(MESSAGE_BYTES_MAX)
        connection.sendall(frame({"note": "x" * 1000})[:10])
        released.wait(PATIENCE_S)

    with behaving(linked, drip) as port:
        with pytest.raises(SignerUnreachable, match="no answer in time"):
            remote(linked, port, timeout_s=0.3).sign(1, A, [])
        released.set()


def test_a_place_where_nobody_says_anything_is_given_up(linked: Linked):
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(SignerUnreachable, match="no answer in time"),
    ):
        remote(linked, silent.getsockname()[1], timeout_s=0.1).sign(1, A, [])


def test_a_place_where_nobody_listens_is_named(linked: Linked):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SignerUnreachable, match=rf"the signer on 127.0.0.1:{port}: .*refused"):
        remote(linked, port).sign(1, A, [])


def test_a_signer_of_another_version_is_asked_nothing(linked: Linked):
    asked: list[bytes] = []

    def listen(connection: ssl.SSLSocket) -> None:
        asked.append(connection.recv(MESSAGE_BYTES_MAX))

    with (
        behaving(linked, listen, alpn=("lienthong-signer/2",)) as port,
        pytest.raises(SignerUnreachable, match="another version"),
    ):
        remote(linked, port).sign(1, A, [])
    assert asked == [b""]


def test_a_conversation_that_is_played_again_is_no_answer(
    linked: Linked, there: Telling, hub: RemoteSigner
):
    """Somebody on the way keeps what the signer said, and says it to the next question."""
    recorded: list[bytes] = []

    def tap(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", there.port), PATIENCE_S) as onward:
            pump = threading.Thread(target=copy, args=(client, onward))
            pump.start()
            copy(onward, client, recorded)
            client.shutdown(socket.SHUT_RDWR)
            pump.join()

    def replay(client: socket.socket) -> None:
        client.recv(MESSAGE_BYTES_MAX)
        client.sendall(b"".join(recorded))

    with between(tap) as port:
        assert remote(linked, port).sign(1, A, [])
    with between(replay) as port, pytest.raises(SignerUnreachable):
        remote(linked, port).sign(1, A, [])


def copy(source: socket.socket, target: socket.socket, kept: list[bytes] | None = None) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
            if kept is not None:
                kept.append(data)
    except OSError:
        return


@contextmanager
def between(behave: Any) -> Iterator[int]:
    """Somebody who takes one connection, and speaks no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.settimeout(PATIENCE_S)
                with suppress(OSError):
                    behave(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    "question", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", frame({"ask": "sign"})]
)
def test_a_question_that_means_nothing_signs_nothing(
    linked: Linked, there: Telling, local: CheckpointSigner, question: bytes
):
    context = LinkContexts(linked.hub, lambda: read_plain).newest()
    with (
        socket.create_connection(("127.0.0.1", there.port), PATIENCE_S) as plain,
        context.wrap_socket(plain) as connection,
    ):
        connection.sendall(question)
        assert b'"note"' not in connection.recv(MESSAGE_BYTES_MAX)
    assert local.last is None


def test_a_name_server_that_hangs_is_given_up_and_stops_nothing_that_worked(
    linked: Linked, there: Telling, monkeypatch: pytest.MonkeyPatch
):
    looked_up, released = [], threading.Event()
    find = socket.getaddrinfo

    def hang(*arguments: Any, **more: Any) -> Any:
        looked_up.append(arguments[0])
        released.wait(PATIENCE_S)
        return find(*arguments, **more)

    contexts = LinkContexts(linked.hub, lambda: read_plain)
    way = TlsWay("localhost", there.port, linked.hub, contexts, lambda: datetime.now(UTC))
    assert RemoteSigner(ORIGIN, way, PATIENCE_S).sign(1, A, [])
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    # Found once, it is not looked up again.
    assert RemoteSigner(ORIGIN, way, PATIENCE_S).sign(1, A, [])
    assert looked_up == []

    fresh = TlsWay("localhost", there.port, linked.hub, contexts, lambda: datetime.now(UTC))
    for _ in range(3):
        with pytest.raises(SignerUnreachable, match="no answer in time"):
            RemoteSigner(ORIGIN, fresh, 0.05).sign(1, A, [])
    # They waited for the one look-up that hangs, and began no others.
    assert looked_up == ["localhost"]
    released.set()


# --- Strangers ----------------------------------------------------------------------------


def test_a_flood_of_strangers_keeps_no_hub_from_its_signature(
    linked: Linked, there: Telling, hub: RemoteSigner
):
    with ExitStack() as stack:
        flood = [
            stack.enter_context(socket.create_connection(("127.0.0.1", there.port), PATIENCE_S))
            for _ in range(3 * signer_tls.HANDSHAKES_MAX)
        ]
        for number in range(1, 4):
            tree = {1: (A, []), 2: (AB, [B])}[min(number, 2)]
            assert hub.sign(min(number, 2), *tree)
        # Who waited longest had to go, whatever they had said meanwhile.
        for stranger in flood[: signer_tls.HANDSHAKES_MAX]:
            assert stranger.recv(1) == b""
    assert len(there.told) <= 2


def test_a_stranger_who_says_too_much_is_hung_up_on(there: Telling):
    # A record of TLS that promises a client's first message of sixteen megabytes.
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x4000 - 4)
    with socket.create_connection(("127.0.0.1", there.port), PATIENCE_S) as stranger:
        try:
            for _ in range(64):
                stranger.sendall(record)
            while stranger.recv(65536):
                pass
        except OSError:
            pass
    assert there.first()[0] == "turned away a connection"


def test_garbage_is_turned_away_and_the_next_hub_answered(there: Telling, hub: RemoteSigner):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", there.port), PATIENCE_S) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while stranger.recv(1024):
                pass
    assert hub.sign(1, A, [])
    there.first()
    # One line for all of them.
    assert [event for event, _ in there.told] == ["turned away a connection"]
