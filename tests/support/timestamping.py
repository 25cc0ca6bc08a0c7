"""Time-stamping authorities for tests: one that makes tokens of any time, one of OpenSSL's own.

Keys and certificates are made at run time, and none is ever kept.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICY, OTHER_POLICY = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"
DAY = timedelta(days=1)
TIME_STAMPING = (ExtendedKeyUsageOID.TIME_STAMPING,)


@dataclass
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def issue(
    name: str,
    not_before: datetime,
    not_after: datetime,
    *,
    by: Holder | None = None,
    ca: bool = False,
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    critical: bool = True,
    key_usage: bool = True,
    key: Any = None,
    path_length: int | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    subject: x509.Name | None = None,
) -> Holder:
    """A certificate of this name, issued by itself where nobody is named."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    )
    if key_usage:
        builder = builder.add_extension(
            x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True
        )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return Holder(builder.sign(by.key if by else key, hashes.SHA256()), key)


@dataclass
class Authority:
    """A root, one authority below it, and the certificate that signs tokens."""

    root: Holder
    middle: Holder
    signer: Holder
    serial: int = 0
    # What it does wrong: changes to TSTInfo, then to the finished answer.
    spoil: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        since: datetime,
        until: datetime,
        *,
        name: str = "tsa",
        rsa_key: bool = False,
        **signer: Any,
    ) -> Authority:
        """An authority whose signer's certificate is in force from `since` until `until`."""
        root = issue(f"{name} root", since - 30 * DAY, until + 3650 * DAY, ca=True)
        middle = issue(f"{name} ca", since - 20 * DAY, until + 1000 * DAY, by=root, ca=True)
        options: dict[str, Any] = {"usages": TIME_STAMPING} | signer
        if rsa_key:
            options["key"] = rsa.generate_private_key(65537, 2048)
        return cls(root, middle, issue(f"{name} signer", since, until, by=middle, **options))

    def renewed(self, since: datetime, until: datetime) -> Authority:
        """The same authority with a new certificate for its signer."""
        signer = issue("tsa signer", since, until, by=self.middle, usages=TIME_STAMPING)
        return Authority(self.root, self.middle, signer)

    def stamp(self, message: bytes, at: datetime) -> bytes:
        """A token over `message`, of any time."""
        return self.token(hashlib.sha256(message).digest(), at)

    def answer(self, request: bytes, at: datetime, **changes: Any) -> bytes:
        """The answer to a request."""
        asked = tsp.TimeStampReq.load(request)
        token = self.token(
            asked["message_imprint"]["hashed_message"].native,
            at,
            **{"nonce": asked["nonce"].native, "policy": asked["req_policy"].native or POLICY}
            | self.spoil
            | changes,
        )
        return answer_with(token)

    def token(self, imprint: bytes, at: datetime, **changes: Any) -> bytes:
        """A token over a digest, with changes to what it says (or to its digest: `digest`)."""
        digest = changes.pop("digest", "sha256")
        names_signer = changes.pop("names_signer", True)
        self.serial += 1
        said = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": {
                "hash_algorithm": {"algorithm": "sha256"},
                "hashed_message": imprint,
            },
            "serial_number": self.serial,
            "gen_time": at.replace(microsecond=0),
        }
        info = tsp.TSTInfo(said | changes)
        attributes = [
            {"type": "content_type", "values": ["tst_info"]},
            {
                "type": "message_digest",
                "values": [hashlib.new(digest, info.dump()).digest()],
            },
        ]
        if names_signer:
            signer_id = {"cert_hash": hashlib.sha256(self.signer.der).digest()}
            value = tsp.SigningCertificateV2({"certs": [signer_id]})
            attributes.append({"type": "signing_certificate_v2", "values": [value]})
        signed = cms.CMSAttributes(attributes)
        return self._signed(info, signed, digest)

    def _signed(self, info: tsp.TSTInfo, signed: cms.CMSAttributes, digest: str) -> bytes:
        is_rsa = isinstance(self.signer.key, rsa.RSAPrivateKey)
        hash_ = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}[digest]
        data = signed.dump()
        signature = (
            self.signer.key.sign(data, padding.PKCS1v15(), hash_)
            if is_rsa
            else self.signer.key.sign(data, ec.ECDSA(hash_))
        )
        certificate = asn1.Certificate.load(self.signer.der)
        signer_info = {
            "version": "v1",
            "sid": {
                "issuer_and_serial_number": {
                    "issuer": certificate.issuer,
                    "serial_number": certificate.serial_number,
                }
            },
            "digest_algorithm": {"algorithm": digest},
            "signed_attrs": signed,
            "signature_algorithm": {"algorithm": f"{digest}_{'rsa' if is_rsa else 'ecdsa'}"},
            "signature": signature,
        }
        content = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [{"algorithm": digest}],
                "encap_content_info": {
                    "content_type": "tst_info",
                    "content": cms.ParsableOctetString(info.dump()),
                },
                "certificates": [certificate, asn1.Certificate.load(self.middle.der)],
                "signer_infos": [signer_info],
            }
        )
        return cms.ContentInfo({"content_type": "signed_data", "content": content}).dump()


def answer_with(token: bytes, status: str = "granted") -> bytes:
    """An answer of this status with this token."""
    content = cms.ContentInfo.load(token)
    return tsp.TimeStampResp({"status": {"status": status}, "time_stamp_token": content}).dump()


def rejection() -> bytes:
    """An answer that refuses, and so has no token: SEQUENCE { SEQUENCE { INTEGER 2 } }."""
    return bytes.fromhex("30053003020102")


# --- OpenSSL's own ------------------------------------------------------------------------

_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/signer.pem
certs = {folder}/chain.pem
signer_key = {folder}/signer.key.pem
signer_digest = sha256
default_policy = {policy}
other_policies = {other}
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class OpensslAuthority:
    """`openssl ts -reply` over the keys of an authority, with the machine's own clock."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        folder.mkdir(exist_ok=True)
        files = {
            "signer.pem": authority.signer.pem,
            "chain.pem": authority.middle.pem,
            "signer.key.pem": authority.signer.key_pem,
            "root.pem": authority.root.pem,
            "serial": b"01\n",
            "config": _CONFIG.format(folder=folder, policy=POLICY, other=OTHER_POLICY).encode(),
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)

    def answer(self, request: bytes) -> bytes:
        """What OpenSSL answers."""
        query, reply = self.folder / "query", self.folder / "reply"
        query.write_bytes(request)
        self._openssl("ts", "-reply", "-config", "config", "-queryfile", "query", "-out", "reply")
        return reply.read_bytes()

    def verify(self, token: bytes, message: bytes) -> None:
        """Let OpenSSL verify a token over `message`; raises CalledProcessError."""
        (self.folder / "token").write_bytes(token)
        (self.folder / "message").write_bytes(message)
        words = "ts -verify -in token -token_in -data message -CAfile root.pem -untrusted chain.pem"
        self._openssl(*words.split())

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextmanager
def serving(respond: Respond) -> Iterator[str]:
    """An HTTP server on this machine that answers as `respond` does; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            respond(self, self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            respond(self, b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsa"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def replying(answer: Callable[[bytes], bytes]) -> Respond:
    """Answers as RFC 3161 section 3.4 has it."""

    def respond(handler: BaseHTTPRequestHandler, request: bytes) -> None:
        body = answer(request)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/timestamp-reply")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond
