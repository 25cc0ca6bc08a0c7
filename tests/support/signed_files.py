"""PDFs and files with signatures of their own, as a document system would make them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from asn1crypto import cms
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)
from cryptography.x509.oid import NameOID
from lxml import etree
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.timestamps import DummyTimeStamper, TimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from tests.support.timestamping import Holder


def subject(name: str, organisation: str = "", number: str = "") -> x509.Name:
    """As Vietnamese authorities write it: whoever it is, their organisation, and a number."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    if number:
        attributes.append(x509.NameAttribute(NameOID.USER_ID, number))
    return x509.Name(attributes)


@cache
def plain_pdf(text: str = "V/v họp") -> bytes:
    """One page with a few words."""
    writer = PdfFileWriter()
    content = writer.add_object(generic.StreamObject(stream_data=f"% {text}".encode()))
    writer.insert_page(PageObject(content, media_box=generic.ArrayObject(
        generic.NumberObject(each) for each in (0, 0, 595, 842)
    )))  # fmt: skip
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def sign_pdf(
    data: bytes,
    by: Holder,
    *,
    field: str = "Signature1",
    others: tuple[Holder, ...] = (),
    stamp: TimeStamper | None = None,
) -> bytes:
    """The same with one more signature, over all that is there; PAdES-T with a `stamp`."""
    store = SimpleCertificateStore()
    store.register_multiple([asn1.Certificate.load(each.der) for each in others])
    signer = signers.SimpleSigner(
        signing_cert=asn1.Certificate.load(by.der),
        signing_key=_key(by),
        cert_registry=store,
    )
    out = signers.sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(data)),
        signers.PdfSignatureMetadata(field_name=field, md_algorithm="sha256"),
        signer=signer,
        timestamper=stamp,
    )
    signed: bytes = out.getvalue()
    return signed


def stamper(by: Holder, at: datetime, *others: Holder) -> DummyTimeStamper:
    """A time-stamping authority in this process."""
    return DummyTimeStamper(
        asn1.Certificate.load(by.der),
        _key(by),
        certs_to_embed=SimpleCertificateStore.from_certs(
            [asn1.Certificate.load(each.der) for each in others]
        ),
        fixed_dt=at,
    )


def stamp_pdf(data: bytes, by: TimeStamper) -> bytes:
    """The same with a timestamp over all of it (PAdES-LTA)."""
    out = signers.PdfTimeStamper(by).timestamp_pdf(
        IncrementalPdfFileWriter(io.BytesIO(data)), "sha256"
    )
    stamped: bytes = out.getvalue()
    return stamped


def stamp_cms(signature: bytes, token: Callable[[bytes], bytes]) -> bytes:
    """Detached signatures, over each of which `token` makes a timestamp (CAdES-T)."""
    content = cms.ContentInfo.load(signature)
    for info in content["content"]["signer_infos"]:
        value = cms.ContentInfo.load(token(info["signature"].native))
        attribute = {"type": "signature_time_stamp_token", "values": [value]}
        info["unsigned_attrs"] = cms.CMSAttributes([attribute])
    der: bytes = content.dump()
    return der


def _key(of: Holder) -> asn1_keys.PrivateKeyInfo:
    der = of.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return asn1_keys.PrivateKeyInfo.load(der)


def sign_cms(data: bytes, *by: Holder, others: tuple[Holder, ...] = ()) -> bytes:
    """Detached signatures (RFC 5652) in DER, of each signer one."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(data)
    for each in by:
        builder = builder.add_signer(each.certificate, each.key, SHA256())
    for each in others:
        builder = builder.add_certificate(each.certificate)
    return builder.sign(
        Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


_DS = "http://www.w3.org/2000/09/xmldsig#"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_DIGESTS = {
    "sha256": ("http://www.w3.org/2001/04/xmlenc#sha256", SHA256()),
    "sha1": (f"{_DS}sha1", SHA1()),
}
_HEADER_ENDS = b"</edXML:edXMLHeader>"


def sign_xml(package: bytes, by: Holder, *, digest: str = "sha256", part: str = "") -> bytes:
    """An edXML package with one more signature (XML-DSig) in its header, unprefixed.

    Over all of it, the signature itself left out; or over the element of this `Id`.
    """
    root = etree.fromstring(package)
    covered = root.xpath("//*[@Id=$part]", part=part)[0] if part else root
    name, algorithm = _DIGESTS[digest]
    hashed = Hash(algorithm)
    hashed.update(_canonical(covered))
    is_rsa = isinstance(by.key, rsa.RSAPrivateKey)
    method = f"{_DS if digest == 'sha1' else _MORE}{'rsa' if is_rsa else 'ecdsa'}-{digest}"
    info = (
        f'<SignedInfo xmlns="{_DS}"><CanonicalizationMethod Algorithm="{_EXCLUSIVE}"/>'
        f'<SignatureMethod Algorithm="{method}"/>'
        f'<Reference URI="{"#" if part else ""}{part}"><Transforms>'
        f'<Transform Algorithm="{_DS}enveloped-signature"/><Transform Algorithm="{_EXCLUSIVE}"/>'
        f'</Transforms><DigestMethod Algorithm="{name}"/>'
        f"<DigestValue>{_base64(hashed.finalize())}</DigestValue></Reference></SignedInfo>"
    )
    value = _signed(_canonical(etree.fromstring(info)), by, algorithm)
    inner = info.replace(f' xmlns="{_DS}"', "")
    signature = (
        f'<Signature xmlns="{_DS}">{inner}'
        f"<SignatureValue>{_base64(value)}</SignatureValue><KeyInfo><X509Data>"
        f"<X509Certificate>{_base64(by.der)}</X509Certificate></X509Data></KeyInfo></Signature>"
    )
    return package.replace(_HEADER_ENDS, signature.encode() + _HEADER_ENDS)


def with_xades(
    package: bytes, claimed: str, token: Callable[[bytes], bytes] | None = None, method: str = ""
) -> bytes:
    """A signed package with SigningTime, and a SignatureTimeStamp by `token` (XAdES-T)."""
    value = etree.fromstring(package).find(f".//{{{_DS}}}SignatureValue")
    if value is None:
        raise ValueError("the package is not signed")
    value.tail = None
    xades, stamp = "http://uri.etsi.org/01903/v1.3.2#", ""
    if token is not None:
        alone = etree.fromstring(etree.tostring(value))
        canonical = etree.tostring(alone, method="c14n", exclusive=method == _EXCLUSIVE)
        named = f'<CanonicalizationMethod Algorithm="{method}"/>' if method else ""
        stamp = (
            "<x:UnsignedProperties><x:UnsignedSignatureProperties><x:SignatureTimeStamp>"
            f"{named}<x:EncapsulatedTimeStamp>{_base64(token(canonical))}</x:EncapsulatedTimeStamp>"
            "</x:SignatureTimeStamp></x:UnsignedSignatureProperties></x:UnsignedProperties>"
        )
    properties = (
        f'<Object><x:QualifyingProperties xmlns:x="{xades}"><x:SignedProperties>'
        f"<x:SignedSignatureProperties><x:SigningTime>{claimed}</x:SigningTime>"
        f"</x:SignedSignatureProperties></x:SignedProperties>{stamp}"
        "</x:QualifyingProperties></Object>"
    )
    return package.replace(b"</Signature>", properties.encode() + b"</Signature>")


def _canonical(element: Any) -> bytes:
    canonical: bytes = etree.tostring(element, method="c14n", exclusive=True)
    return canonical


def _signed(data: bytes, by: Holder, algorithm: Any) -> bytes:
    if isinstance(by.key, rsa.RSAPrivateKey):
        return by.key.sign(data, PKCS1v15(), algorithm)
    size = (by.key.key_size + 7) // 8
    r, s = decode_dss_signature(by.key.sign(data, ec.ECDSA(algorithm)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
