"""One timestamp token (RFC 3161): what to ask for, and what an answer proves.

A token says that the bytes behind a digest existed at `gen_time`, by the clock of an
authority. It is kept as it came and verified for ever after from those bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import cms, core, tsp
from cryptography import x509
from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

from hub.errors import VerificationFailed
from hub.evidence.chains import Revocation, Usage, VerifiedChain, verify_chain
from hub.evidence.der import UNREADABLE, load_certificate

OURS = frozenset({"sha256"})
"""The digests that this hub asks for a token over."""

ANY_STRONG = frozenset({"sha256", "sha384", "sha512"})
"""Those that others may have asked for one over."""

TOKEN_BYTES_MAX = 64 * 1024
ANSWER_BYTES_MAX = TOKEN_BYTES_MAX + 1024
NONCE_BYTES = 16

_SIGNATURES = {"rsa": "rsassa_pkcs1v15", "ec": "ecdsa"}
# The attribute that says which certificate signed, in its two versions (RFC 5816 section 2.2).
_CERTIFICATE_IDS = {"signing_certificate", "signing_certificate_v2"}


class WeakToken(VerificationFailed):
    """The token rests on a digest or signature that proves nothing any more, such as SHA-1."""


class _Answer(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """TimeStampResp; asn1crypto's own does not know that a refusal has no token."""

    _fields = [("status", tsp.PKIStatusInfo), ("token", core.Any, {"optional": True})]  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says, and nobody has verified. `imprint` is by `digest`, such as SHA-256."""

    der: bytes
    gen_time: datetime
    imprint: bytes
    policy: str
    nonce: int | None
    digest: str = "sha256"


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that holds, with the chain of the certificate that signed it."""

    gen_time: datetime
    policy: str
    chain: VerifiedChain


def build_request(message: bytes, *, nonce: bytes, policy: str | None = None) -> bytes:
    """A TimeStampReq for the SHA-256 of `message`, asking for the authority's certificates.

    `nonce` is 16 unpredictable bytes: it makes the answer one to this very question.
    """
    request: dict[str, Any] = {
        "version": "v1",
        "message_imprint": {
            "hash_algorithm": {"algorithm": "sha256"},
            "hashed_message": hashlib.sha256(message).digest(),
        },
        "nonce": _number(nonce),
        "cert_req": True,
    }
    if policy is not None:
        request["req_policy"] = policy
    der: bytes = tsp.TimeStampReq(request).dump()
    return der


def token_in(answer: bytes) -> bytes:
    """The token in a TimeStampResp, if it was granted; nothing in it is verified yet.

    Granted with modifications is refused too: it is not what was asked for (RFC 3161
    section 2.4.2). Raises VerificationFailed(step="answer").
    """
    if len(answer) > ANSWER_BYTES_MAX:
        raise VerificationFailed(f"an answer of more than {ANSWER_BYTES_MAX} bytes", step="answer")
    with _reading("the answer", "answer"):
        parsed = _Answer.load(answer, strict=True)
        status: str = parsed["status"]["status"].native
        token: bytes = parsed["token"].dump()
    if status != "granted":
        raise VerificationFailed(f"the authority answered {status!r}", step="answer")
    if not token:
        raise VerificationFailed("the authority granted, but sent no token", step="answer")
    return token


def parse_token(der: bytes, digests: Container[str] = OURS) -> Token:
    """Read a token of at most 64 KiB, over one of these digests.

    Raises VerificationFailed(step="token"); WeakToken for one over another digest.
    """
    if len(der) > TOKEN_BYTES_MAX:
        raise _bad(f"the token has more than {TOKEN_BYTES_MAX} bytes")
    with _reading("the token", "token"):
        info = _signed_data(der)["encap_content_info"]
        if info["content_type"].native != "tst_info":
            raise _bad("the token holds something else than a timestamp")
        said = info["content"].parsed.native
        imprint = said["message_imprint"]
        digest = imprint["hash_algorithm"]["algorithm"]
        if digest not in digests:
            raise WeakToken("the token is over another digest than is asked for", step="token")
        return Token(
            der,
            said["gen_time"],
            imprint["hashed_message"],
            said["policy"],
            said["nonce"],
            digest,
        )


def verify_token(
    token: bytes,
    message: bytes,
    *,
    anchors: Sequence[bytes],
    others: Sequence[bytes] = (),
    nonce: bytes | None = None,
    policy: str | None = None,
    revocation: Revocation | None = None,
    digests: Container[str] = OURS,
) -> VerifiedToken:
    """Check that an authority behind one of the `anchors` saw `message`, and when.

    1. The token can be read. 2. Its imprint is that of `message`, by one of `digests`. 3. It
    answers the request with this nonce, under this policy, where these are given. 4. One
    certificate signed it, and the signed attributes name that certificate (RFC 5816). 5. It is
    made for time-stamping and nothing else, and its chain led to an anchor at the token's own
    time. 6. The signature holds.

    `others` are certificates that may lie on the way, beside those in the token. Raises
    VerificationFailed; its `step` is "token", "imprint", "request", "signer", "chain" or
    "signature". It is WeakToken where the algorithms are too weak, and WrongUsage where the
    certificate is not made for it.
    """
    # (1) The token can be read.
    parsed = parse_token(token, digests)
    # (2) Its imprint is that of the message.
    if parsed.imprint != hashlib.new(parsed.digest, message).digest():
        raise VerificationFailed("the token is over something else", step="imprint")
    # (3) It answers our request.
    if nonce is not None and parsed.nonce != _number(nonce):
        raise VerificationFailed("the token answers another request", step="request")
    if policy is not None and parsed.policy != policy:
        raise VerificationFailed("the token is under another policy", step="request")
    # (4) One certificate signed it, and is named by what it signed.
    held = [*_certificates(token), *others]
    signer = _signer(token, held)
    # (5) The certificate is made for it, and its chain led to an anchor then.
    chain = verify_chain(
        signer,
        usage=Usage.TIMESTAMPING,
        at=parsed.gen_time,
        anchors=anchors,
        others=held,
        revocation=revocation,
    )
    # (6) The signature holds.
    _verify_signature(parsed, signer, chain)
    return VerifiedToken(parsed.gen_time, parsed.policy, chain)


def _certificates(token: bytes) -> list[bytes]:
    with _reading("the token's certificates", "token"):
        certificates = _signed_data(token)["certificates"]
        # An empty optional field is falsy here; other kinds of certificates are no use.
        return [each.chosen.dump() for each in certificates or () if each.name == "certificate"]


def _signer(token: bytes, candidates: Sequence[bytes]) -> bytes:
    """Step 4: the certificate that the token's only signature is by."""
    with _reading("the token's signature", "signer"):
        signed = _signed_data(token)
        (info,) = signed["signer_infos"]
        named = info["sid"].chosen
        # The first certificate of the attribute is the signer's (RFC 5035 section 3).
        ids = [
            attribute["values"][0]["certs"][0].native
            for attribute in info["signed_attrs"]
            if attribute["type"].native in _CERTIFICATE_IDS
        ]
        found = [
            der
            for der in candidates
            if (certificate := load_certificate(der)).issuer == named["issuer"]
            and certificate.serial_number == named["serial_number"].native
        ]
    # Without this attribute a token could be passed off as another certificate's of one key.
    if not ids:
        raise VerificationFailed("the token does not name who signed it", step="signer")
    if not found or any(not _is_hash_of(found[0], each) for each in ids):
        raise VerificationFailed("the certificate that signed the token is not here", step="signer")
    with _reading("the token's algorithms", "signer"):
        _require_algorithms(signed, info, load_certificate(found[0]).public_key.algorithm)
    return found[0]


def _require_algorithms(signed: Any, info: Any, key: str) -> None:
    """The unsigned fields beside the signature say what they must, and in one way only.

    Otherwise one token would have several spellings that all verify.
    """
    digest, signature = info["digest_algorithm"], info["signature_algorithm"]
    versions = (signed["version"].native, info["version"].native)
    if digest["algorithm"].native not in ANY_STRONG or signature.signature_algo != _SIGNATURES[key]:
        raise WeakToken("the token is signed with a weak algorithm", step="signer")
    # "rsassa_pkcs1v15" alone leaves the digest to the other field.
    plain = signature["algorithm"].native == _SIGNATURES["rsa"]
    if (
        versions != ("v3", "v1")
        or digest["parameters"].native is not None
        or signature["parameters"].native is not None
        or not (plain or signature.hash_algo == digest["algorithm"].native)
    ):
        raise VerificationFailed("the token contradicts itself", step="signer")


def _is_hash_of(certificate: bytes, named: dict[str, Any]) -> bool:
    # Version 1 of the attribute knows only SHA-1; nobody gains by a second certificate of
    # the same SHA-1, since the chain is checked all the same.
    algorithm = (named.get("hash_algorithm") or {"algorithm": "sha1"})["algorithm"]
    if algorithm not in {*ANY_STRONG, "sha1"}:
        return False
    digest = hashlib.new(algorithm, certificate, usedforsecurity=False).digest()
    return bool(digest == named["cert_hash"])


def _verify_signature(token: Token, signer: bytes, chain: VerifiedChain) -> None:
    """Step 6, by the other library: what two readers agree on is what the token says."""
    *path, anchor = chain.certificates
    try:
        # It wants a whole answer, and its certificates sorted, as hardly any authority sends
        # them. They are not signed, so a copy with the signer's alone proves the same.
        answer = decode_timestamp_response(_answer_with_only(signer, token.der))
        VerifierBuilder(
            tsa_certificate=x509.load_der_x509_certificate(signer),
            intermediates=[x509.load_der_x509_certificate(each) for each in path[1:]],
            roots=[x509.load_der_x509_certificate(anchor)],
        ).build().verify(answer, token.imprint)
        agreed = answer.tst_info.gen_time == token.gen_time
    except (VerificationError, *UNREADABLE) as error:
        raise VerificationFailed("the token's signature does not hold", step="signature") from error
    if not agreed:
        raise VerificationFailed("the token can be read in two ways", step="signature")


def _answer_with_only(signer: bytes, token: bytes) -> bytes:
    content = cms.ContentInfo.load(token, strict=True)
    content["content"]["certificates"] = cms.CertificateSet([load_certificate(signer)])
    status = tsp.PKIStatusInfo({"status": "granted"})
    der: bytes = tsp.TimeStampResp({"status": status, "time_stamp_token": content}).dump()
    return der


def _signed_data(token: bytes) -> Any:
    content = cms.ContentInfo.load(token, strict=True)
    if content["content_type"].native != "signed_data":
        raise _bad("the token is not signed")
    return content["content"]


def _number(nonce: bytes) -> int:
    return int.from_bytes(nonce, "big")


@contextmanager
def _reading(what: str, step: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise VerificationFailed(f"{what} cannot be read", step=step) from error


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="token")
