"""Development certificates are good for exactly one thing each, and say that they are not real."""

import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.proof.signatures import Algorithm, PublicKey
from keys.development_ca import BACKDATED, DOCUMENT_SIGNING, DevelopmentCA, Issued
from keys.file import KeyFileError

NOW = datetime(2026, 11, 22, 1, 30, 12, tzinfo=UTC)
OPENSSL = shutil.which("openssl")
USAGE_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="no openssl here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca") / "development"


@pytest.fixture(scope="module")
def ca(folder: Path) -> DevelopmentCA:
    return DevelopmentCA.create(folder, lambda: NOW)


@pytest.fixture(scope="module")
def signing(ca: DevelopmentCA) -> dict[Algorithm, Issued]:
    return {algorithm: ca.issue_signing("Sở Nội vụ", algorithm) for algorithm in Algorithm}


def certificate_of(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate_pem)


def usages(issued: Issued) -> tuple[set[str], set[x509.ObjectIdentifier]]:
    extensions = certificate_of(issued).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    set_bits = {bit for bit in USAGE_BITS if getattr(usage.value, bit)}
    return set_bits, set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_server_certificate_serves_its_hosts_and_nothing_else(ca: DevelopmentCA):
    issued = ca.issue_server(["localhost", "hub.example.vn", "127.0.0.1", "::1"])
    names = certificate_of(issued).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "hub.example.vn"]
    assert names.value.get_values_for_type(x509.IPAddress) == [
        ip_address("127.0.0.1"),
        ip_address("::1"),
    ]
    assert usages(issued) == ({"digital_signature"}, {ExtendedKeyUsageOID.SERVER_AUTH})


def test_a_client_certificate_is_for_clients_only(ca: DevelopmentCA):
    issued = ca.issue_client("000.00.01.H26")
    assert usages(issued) == ({"digital_signature"}, {ExtendedKeyUsageOID.CLIENT_AUTH})


def test_a_signing_certificate_signs_documents_and_opens_no_connection(
    signing: dict[Algorithm, Issued],
):
    for issued in signing.values():
        assert usages(issued) == ({"digital_signature", "content_commitment"}, {DOCUMENT_SIGNING})


def test_a_signing_certificate_fits_its_algorithm(signing: dict[Algorithm, Issued]):
    for algorithm, issued in signing.items():
        certificate = certificate_of(issued)
        PublicKey.from_certificate(certificate.public_bytes(Encoding.DER), algorithm)
        key = load_pem_private_key(issued.private_key_pem, password=None)
        assert key.public_key() == certificate.public_key()


def test_every_certificate_says_that_it_is_not_for_production(
    ca: DevelopmentCA, signing: dict[Algorithm, Issued]
):
    issued = [ca.issue_server(["localhost"]), ca.issue_client("x"), *signing.values()]
    for certificate in map(certificate_of, issued):
        assert "NOT FOR PRODUCTION" in certificate.subject.rfc4514_string()
        assert "NOT FOR PRODUCTION" in certificate.issuer.rfc4514_string()


def test_no_leaf_can_issue_and_the_authority_has_no_authority_below_it(
    ca: DevelopmentCA, signing: dict[Algorithm, Issued]
):
    root = x509.load_pem_x509_certificate(ca.certificate_pem)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, True)
    assert constraints.value.path_length == 0
    for issued in signing.values():
        extensions = certificate_of(issued).extensions
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_serials_differ(ca: DevelopmentCA):
    serials = {certificate_of(ca.issue_client("x")).serial_number for _ in range(5)}
    assert len(serials) == 5


def test_certificates_begin_five_minutes_ago_and_last_as_stated(ca: DevelopmentCA):
    certificate = certificate_of(ca.issue_client("x"))
    assert certificate.not_valid_before_utc == NOW - BACKDATED
    assert certificate.not_valid_after_utc == NOW - BACKDATED + timedelta(days=365)
    root = x509.load_pem_x509_certificate(ca.certificate_pem)
    assert root.not_valid_after_utc == NOW - BACKDATED + timedelta(days=3650)


def test_a_signing_window_can_be_stated(ca: DevelopmentCA):
    begin, end = NOW - timedelta(days=9), NOW - timedelta(days=2)
    certificate = certificate_of(ca.issue_signing("x", Algorithm.ED25519, begin, end))
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (begin, end)
    with pytest.raises(ValueError, match="before"):
        ca.issue_signing("x", Algorithm.ED25519, end, begin)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_common_name_outside_its_limits_is_refused(ca: DevelopmentCA, name: str):
    with pytest.raises(ValueError, match="64"):
        ca.issue_client(name)


@pytest.mark.parametrize("hosts", [[], ["máy-chủ.vn"]])
def test_a_server_without_usable_names_is_refused(ca: DevelopmentCA, hosts: list[str]):
    with pytest.raises(ValueError):
        ca.issue_server(hosts)


def test_the_authority_is_found_again_and_its_key_is_its_own(ca: DevelopmentCA, folder: Path):
    assert DevelopmentCA.open(folder, lambda: NOW).certificate_pem == ca.certificate_pem
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"development-ca.key.pem": 0o600, "development-ca.pem": 0o644}
    with pytest.raises(KeyFileError, match="exists already"):
        DevelopmentCA.create(folder, lambda: NOW)


def test_an_authority_in_pieces_is_refused(ca: DevelopmentCA, folder: Path, tmp_path: Path):
    with pytest.raises(KeyFileError):
        DevelopmentCA.open(tmp_path, lambda: NOW)
    other = tmp_path / "other"
    DevelopmentCA.create(other, lambda: NOW)
    shutil.copy(folder / "development-ca.pem", other)
    with pytest.raises(KeyFileError, match="another key"):
        DevelopmentCA.open(other, lambda: NOW)
    (other / "development-ca.pem").write_text("nonsense")
    with pytest.raises(KeyFileError, match="no certificate"):
        DevelopmentCA.open(other, lambda: NOW)


@needs_openssl
@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("server", "sslserver", "sslclient"),
        ("client", "sslclient", "sslserver"),
        (Algorithm.ED25519, "any", "sslclient"),
        (Algorithm.ECDSA_P256_SHA256, "any", "sslserver"),
        (Algorithm.RSA_PSS_SHA256, "any", "sslclient"),
        (Algorithm.RSA_PKCS1_SHA256, "any", "sslserver"),
    ],
)
def test_openssl_accepts_each_for_its_purpose_only(
    ca: DevelopmentCA,
    signing: dict[Algorithm, Issued],
    tmp_path: Path,
    kind: str,
    good: str,
    bad: str,
):
    issued = {
        "server": ca.issue_server(["localhost"]),
        "client": ca.issue_client("000.00.01.H26"),
        **signing,
    }[kind]
    (tmp_path / "ca.pem").write_bytes(ca.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(issued.certificate_pem)

    def verify(purpose: str) -> subprocess.CompletedProcess[str]:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose]
        return subprocess.run(
            [*command, "-attime", str(int(NOW.timestamp())), "leaf.pem"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert verify(good).returncode == 0, verify(good).stderr
    assert verify(bad).returncode != 0


def test_pythons_tls_takes_them(ca: DevelopmentCA, tmp_path: Path):
    issued = ca.issue_server(["localhost"])
    (tmp_path / "chain.pem").write_bytes(issued.certificate_pem)
    (tmp_path / "key.pem").write_bytes(issued.private_key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    context.load_verify_locations(cadata=ca.certificate_pem.decode())
