"""Signatures in the header of an edXML package: XML-DSig, as far as an axis has left it.

Everything is handed in and nothing is fetched. What is examined is a stranger's; it is done in
a process of its own (`hub.evidence.examiner`), and decides nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest, InvalidSignature
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from hub.evidence.der import CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, UNREADABLE
from hub.evidence.documents import about as about_signer
from hub.evidence.documents import chained
from hub.evidence.found import Authorities, FoundSignature, Outcome, Stamp
from hub.evidence.stamps import SIGNATURE, TOKENS_MAX, Proof, examine_token, stamped

FORM = "xml"
SIGNATURES_MAX = 8
"""How many signatures of one package are looked at."""

_REFERENCES_MAX = 8
_RSA_BITS_MIN = 2048
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_HEADERS = {"edXMLHeader", "Header"}
_DS = "http://www.w3.org/2000/09/xmldsig#"
_ENVELOPED = f"{_DS}enveloped-signature"
# Samples of the vendor name it; it is none that was ever registered, and means exclusive c14n.
_LOOSE_C14N = "http://www.w3.org/TR/xml-exc-c14n#"
_C14N = frozenset(each.value for each in CanonicalizationMethod)
# Others could run programs (XSLT), or sign something else than what is seen (XPath).
_TRANSFORMS = frozenset({_ENVELOPED, _LOOSE_C14N, *_C14N})
_METHODS = frozenset(
    each
    for each in SignatureMethod
    if each.name.startswith(("RSA_", "ECDSA_")) or each.name.endswith("_RSA_MGF1")
)
_WEAK = ("SHA1", "SHA224", "SHA3_224")


class _Told(Exception):
    """It is known what becomes of this signature."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome, self.reason = outcome, reason


class _Verifier(XMLVerifier):
    """The library's verifier for one of several signatures; it would take the first.

    For each reference it would also write and parse the whole package anew, three times. One to
    the whole package is canonicalised where it is instead, and once however often it is named.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._canonical: dict[tuple[bool, str, str | None], bytes] = {}

    def get_root(self, data: Any) -> Any:
        return data

    def _get_signature(self, root: Any) -> Any:
        return _signatures(root)[self._number]

    def _verify_reference(
        self, reference: Any, index: int, root: Any, *others: Any
    ) -> VerifyResult | None:
        transforms = list(reference.iter(f"{{{_DS}}}Transform"))
        canonical = [each for each in transforms if _algorithm(each) in _C14N]
        if reference.get("URI") or len(canonical) > 1:
            # The library has types only in part.
            verify: Any = super()._verify_reference
            result: VerifyResult = verify(reference, index, root, *others)
            return result
        digest = DigestAlgorithm(_algorithm(_one(reference, "DigestMethod")))
        enveloped = any(_algorithm(each) == _ENVELOPED for each in transforms)
        whole = self._whole(root, enveloped, canonical[0] if canonical else None)
        if base64.b64decode(_one(reference, "DigestValue").text) != self._get_digest(whole, digest):
            raise InvalidDigest(f"reference {index} is over something else")
        return None

    def _whole(self, root: Any, enveloped: bool, transform: Any) -> bytes:
        """The package in canonical form, this signature left out where it is `enveloped`."""
        method, prefixes = self.config.default_reference_c14n_method, None
        if transform is not None:
            method = CanonicalizationMethod(_algorithm(transform))
            prefixes = cast(Any, self)._get_inclusive_ns_prefixes(transform)
        key = (enveloped, method.value, prefixes and " ".join(prefixes))
        if key not in self._canonical:
            with _without(self._get_signature(root)) if enveloped else nullcontext():
                # One at a time: each is as large as the package.
                self._canonical = {key: self._c14n(root, method, prefixes)}
        return self._canonical[key]


@contextmanager
def _without(signature: Any) -> Iterator[None]:
    """Take a signature out of its package for a while; the text behind it stays."""
    parent, previous = signature.getparent(), signature.getprevious()
    index = parent.index(signature)
    before = parent.text if previous is None else previous.tail

    def put(text: str | None) -> None:
        if previous is None:
            parent.text = text
        else:
            previous.tail = text

    parent.remove(signature)
    put(f"{before or ''}{signature.tail or ''}" or None)
    try:
        yield
    finally:
        put(before)
        parent.insert(index, signature)


def examine_package(data: bytes, authorities: Authorities, at: datetime) -> list[FoundSignature]:
    """Every signature in a package's header, as of the moment `at`.

    1. It asks for nothing but this package, by transforms and algorithms of the standard; no
    XSLT, no XPath, no address. 2. It holds over what it covers (XML-DSig core, 3.2), with a
    certificate it brings along. 3. One of its references is the whole package. 4. No weak digest
    or key. 5. The certificate is for signing documents and led to an anchor at `at`, or when a
    timestamp over the signature was made (XAdES-T).

    An axis writes packages anew and drops the namespace of signatures: it is put back for the
    examination, and what then does not hold is `not-standard`, not broken.
    """
    try:
        root = etree.fromstring(data, _parser())
        if cast(Any, root.getroottree().docinfo).doctype:
            return [FoundSignature(FORM, Outcome.UNKNOWN, "unreadable")]
        renamed = [_put_back(each) for each in _signatures(root)]
        count = len(renamed)
    except (etree.LxmlError, ValueError):
        return [FoundSignature(FORM, Outcome.UNKNOWN, "unreadable")]
    found = [
        _examined(root, number, renamed[number], authorities, at)
        for number in range(min(count, SIGNATURES_MAX))
    ]
    if count > SIGNATURES_MAX:
        found.append(FoundSignature(FORM, Outcome.UNKNOWN, "too-many"))
    return found


def _parser() -> etree.XMLParser:
    # `huge_tree` because contents lie in one text; the file's size and the process are bounded.
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=True, remove_pis=False,
    )  # fmt: skip


def _signatures(root: Any) -> list[Any]:
    """Those in a header, in whatever namespace: the axis loses it."""
    return [
        element
        for element in root.iter("{*}Signature")
        if (parent := element.getparent()) is not None and _local(parent) in _HEADERS
    ]


def _put_back(signature: Any) -> bool:
    """Give a signature the namespace of the standard; whether it had another."""
    if etree.QName(signature).namespace == _DS:
        return False
    namespace = etree.QName(signature).namespace
    made = _moved(signature, namespace)
    made.tail = signature.tail
    signature.getparent().replace(signature, made)
    return True


def _moved(element: Any, namespace: str | None) -> Any:
    name = etree.QName(element)
    # Without a prefix, as all that were seen had it: a prefix is part of what is signed.
    tag = f"{{{_DS}}}{name.localname}" if name.namespace == namespace else element.tag
    made = etree.Element(tag, dict(element.attrib), nsmap=cast(Any, {None: _DS}))
    made.text = element.text
    for child in element:
        if isinstance(child.tag, str):
            made.append(_moved(child, namespace))
            made[-1].tail = child.tail
    return made


def _examined(
    root: Any, number: int, renamed: bool, authorities: Authorities, at: datetime
) -> FoundSignature:
    about = FoundSignature(FORM, Outcome.UNKNOWN, "unreadable")
    signature = _signatures(root)[number]
    try:
        about = replace(about, signed_at=_claimed(signature))
        certificates = _certificates(signature)
        if certificates:
            about = about_signer(about, certificates[0])
        # (1) Nothing but this package, by what the standard has.
        whole = _require_plain(signature)
        # (2) It holds, with a certificate that it brings along.
        if not certificates:
            raise _Told(Outcome.UNKNOWN, "no-certificate")
        _require_holds(root, number, signature, certificates[0], renamed)
        # (3) The whole package is covered.
        if not whole:
            raise _Told(Outcome.UNKNOWN, "not-whole")
        # (4) No weak digest or key.
        _require_strong(signature, certificates[0])
    except _Told as told:
        return replace(about, outcome=told.outcome, reason=told.reason)
    except Exception:
        return about
    # (5) The certificate's chain, now and at the times that others prove.
    found = chained(about, certificates[1:], authorities, at)
    stamps = _over_signature(signature, authorities, at)
    return stamped(found, stamps, at, partial(chained, found, certificates[1:], authorities))


def _claimed(signature: Any) -> datetime | None:
    """SigningTime (XAdES, ETSI EN 319 132-1, 5.2.1): the signer's word, whether signed or not.

    None where there is none, or none that can be read as one: without a zone it could be any.
    """
    for element in signature.iter("{*}SigningTime"):
        with suppress(ValueError, OverflowError):
            claimed = datetime.fromisoformat("".join((element.text or "").split()))
            return claimed.astimezone(UTC) if claimed.tzinfo else None
    return None


def _over_signature(signature: Any, authorities: Authorities, at: datetime) -> list[Stamp]:
    try:
        return [
            examine_token(token, message, authorities, [Proof(at)], SIGNATURE)
            for token, message in _stamps(signature)
        ]
    except Exception:  # What cannot be read harms nothing.
        return [Stamp(SIGNATURE, Outcome.UNKNOWN, "unreadable")]


def _stamps(signature: Any) -> Iterator[tuple[bytes, bytes]]:
    """The tokens over a signature's value, and what each is over (EN 319 132-1, 5.3)."""
    value = _one(signature, "SignatureValue")
    found = list(signature.iter("{*}SignatureTimeStamp"))[:TOKENS_MAX]
    for stamp in found:
        method = CanonicalizationMethod.CANONICAL_XML_1_0.value
        for element in stamp.iterchildren(f"{{{_DS}}}CanonicalizationMethod"):
            method = _algorithm(element)
        for token in list(stamp.iterchildren("{*}EncapsulatedTimeStamp"))[:1]:
            # Written and read once, so that it has the namespaces that it inherits.
            alone = etree.fromstring(etree.tostring(value, with_tail=False), _parser())
            message = etree.tostring(
                alone,
                method="c14n",
                exclusive=method.startswith(_EXCLUSIVE),
                with_comments=method.endswith("#WithComments"),
            )
            yield _decoded(token), message


def _decoded(element: Any) -> bytes:
    """Base64 with whatever spaces; nothing where it is none."""
    try:
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except ValueError:
        return b""


def _certificates(signature: Any) -> list[bytes]:
    """Those it brings along, the signer's first: the one that issued none of the others."""
    ders = []
    for element in signature.iterfind(
        f"{{{_DS}}}KeyInfo/{{{_DS}}}X509Data/{{{_DS}}}X509Certificate"
    ):
        try:
            der = base64.b64decode("".join((element.text or "").split()), validate=True)
            x509.load_der_x509_certificate(der)
        except UNREADABLE:
            continue
        if len(der) <= CERTIFICATE_BYTES_MAX:
            ders.append(der)
    if len(ders) > CERTIFICATES_MAX // 2:
        raise _Told(Outcome.UNKNOWN, "too-many")
    loaded = [(der, x509.load_der_x509_certificate(der)) for der in ders]
    return sorted(ders, key=lambda der: _has_issued(der, loaded))


def _has_issued(der: bytes, all_of_them: Sequence[tuple[bytes, x509.Certificate]]) -> bool:
    subject = x509.load_der_x509_certificate(der).subject
    return any(each.issuer == subject for other, each in all_of_them if other != der)


def _require_plain(signature: Any) -> bool:
    """Step 1; whether one of the references is the whole package."""
    info = _one(signature, "SignedInfo")
    if _algorithm(_one(info, "CanonicalizationMethod")) not in _C14N:
        raise _Told(Outcome.UNKNOWN, "not-standard")
    method = _algorithm(_one(info, "SignatureMethod"))
    if method not in {each.value for each in _METHODS}:
        raise _Told(Outcome.UNKNOWN, "not-standard")
    references = info.findall(f"{{{_DS}}}Reference")
    if len(references) > _REFERENCES_MAX:
        raise _Told(Outcome.UNKNOWN, "too-many")
    # All are looked at, not only up to the first that is the whole.
    return True in [_is_whole(each) for each in references]


def _is_whole(reference: Any) -> bool:
    uri = reference.get("URI")
    if uri is None or (uri and not uri.startswith("#")):
        raise _Told(Outcome.UNKNOWN, "external")
    transforms = [_algorithm(each) for each in reference.iter(f"{{{_DS}}}Transform")]
    if not _TRANSFORMS.issuperset(transforms) or uri.startswith("#xpointer"):
        raise _Told(Outcome.UNKNOWN, "not-standard")
    if _algorithm(_one(reference, "DigestMethod")) not in {each.value for each in DigestAlgorithm}:
        raise _Told(Outcome.UNKNOWN, "not-standard")
    return not uri


def _require_holds(
    root: Any, number: int, signature: Any, certificate: bytes, renamed: bool
) -> None:
    loaded = x509.load_der_x509_certificate(certificate)
    loose = any(_algorithm(each) == _LOOSE_C14N for each in signature.iter(f"{{{_DS}}}Transform"))
    expected = SignatureConfiguration(
        expect_references=False,
        signature_methods=_METHODS,
        digest_algorithms=frozenset(DigestAlgorithm),
        # Whether it was in force is judged with the chain.
        verification_time=loaded.not_valid_before_utc,
        ignore_ambiguous_key_info=True,
        default_reference_c14n_method=(
            CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
            if loose
            else CanonicalizationMethod.CANONICAL_XML_1_0
        ),
    )
    try:
        _Verifier(number).verify(
            root,
            x509_cert=loaded,
            parser=_parser(),
            validate_schema=False,
            expect_config=expected,
        )
    except InvalidDigest:
        raise _Told(Outcome.INVALID, "changed") from None
    except InvalidSignature:
        if renamed:
            raise _Told(Outcome.UNKNOWN, "not-standard") from None
        raise _Told(Outcome.INVALID, "broken") from None


def _require_strong(signature: Any, certificate: bytes) -> None:
    info = _one(signature, "SignedInfo")
    methods = [SignatureMethod(_algorithm(_one(info, "SignatureMethod"))).name]
    methods += [
        DigestAlgorithm(_algorithm(each)).name for each in info.iter(f"{{{_DS}}}DigestMethod")
    ]
    key = x509.load_der_x509_certificate(certificate).public_key()
    is_weak = isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS_MIN
    is_weak |= isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256
    if is_weak or any(weak in method for method in methods for weak in _WEAK):
        raise _Told(Outcome.INVALID, "weak")


def _one(element: Any, name: str) -> Any:
    found = element.findall(f"{{{_DS}}}{name}")
    if len(found) != 1:
        raise _Told(Outcome.UNKNOWN, "unreadable")
    return found[0]


def _algorithm(element: Any) -> str:
    return str(element.get("Algorithm", ""))


def _local(element: Any) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
