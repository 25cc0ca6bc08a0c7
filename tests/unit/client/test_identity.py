"""Who a client is: its signing key, its profile, and the names it gives to files."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from hub.client.downloading import safe_name
from hub.client.errors import ProfileInvalid
from hub.client.fake_log import FakeLog
from hub.client.fake_pki import FakeAuthority, key_pem, new_key
from hub.client.profile import ClientProfile
from hub.client.signing import KeySigner, sign_statement
from hub.proof.signatures import Algorithm, PublicKey


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_each_algorithm_signs_what_its_public_key_verifies(algorithm):
    key = new_key(algorithm)
    signer = KeySigner.from_pem(key_pem(key), algorithm)
    statement = sign_statement(signer, "application/x", b"payload")
    public = PublicKey.of(key.public_key(), algorithm)
    public.verify(statement.pae, statement.signature)
    assert statement.key_id == signer.key_id == public.key_id
    assert signer.algorithm is algorithm


def test_a_key_behind_a_passphrase_is_read_with_it_and_only_with_it():
    pem = new_key(Algorithm.ED25519).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    )
    KeySigner.from_pem(pem, Algorithm.ED25519, passphrase=b"open sesame")
    for passphrase in (None, b"wrong"):
        with pytest.raises(ProfileInvalid, match="passphrase"):
            KeySigner.from_pem(pem, Algorithm.ED25519, passphrase=passphrase)


def test_a_key_that_does_not_fit_its_algorithm_is_refused(tmp_path):
    with pytest.raises(ProfileInvalid, match="rsa-pss-sha256"):
        KeySigner(new_key(Algorithm.ED25519), Algorithm.RSA_PSS_SHA256)
    with pytest.raises(ProfileInvalid, match="neither"):
        KeySigner(dsa.generate_private_key(1024), Algorithm.ED25519)
    with pytest.raises(ProfileInvalid):
        KeySigner.from_pem(b"not a key", Algorithm.ED25519)
    with pytest.raises(ProfileInvalid):
        KeySigner.from_file(tmp_path / "none.pem", Algorithm.ED25519)


PROFILE = """
target = "hub.example.vn:8443"
hub = "hub.example.vn/log"
agency = "H29.3"
ca = "ca.pem"
transport_certificate = "transport.pem"
transport_key = "transport-key.pem"
signing_key = "/keys/signing-key.pem"
signing_algorithm = "ecdsa-p256-sha256"
trusted_root = "trusted_root.json"
state = "state"
server_name = "hub"
"""


def profile(tmp_path, text=PROFILE):
    (tmp_path / "profile.toml").write_text(text)
    return ClientProfile.load(tmp_path / "profile.toml")


def test_paths_in_a_profile_are_relative_to_its_folder(tmp_path):
    loaded = profile(tmp_path)
    assert loaded.ca == tmp_path / "ca.pem"
    assert str(loaded.signing_key) == "/keys/signing-key.pem"
    assert loaded.signing_algorithm is Algorithm.ECDSA_P256_SHA256
    assert loaded.server_name == "hub"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("agency", "agencie"), "agencie"),
        (('ca = "ca.pem"', ""), "lacks ca"),
        (('"state"', "3"), "state must be text"),
        (("ecdsa-p256-sha256", "md5"), "must be one of"),
        (("=", ":"), "not TOML"),
    ],
)
def test_a_profile_that_cannot_be_used_says_what_to_change(tmp_path, change, complaint):
    with pytest.raises(ProfileInvalid, match=complaint):
        profile(tmp_path, PROFILE.replace(*change))


def test_a_trusted_root_that_does_not_list_the_hub_is_refused(tmp_path):
    loaded = profile(tmp_path)
    with pytest.raises(ProfileInvalid, match="cannot be read"):
        loaded.read_trusted_root()
    loaded.trusted_root.write_bytes(b"{}")
    with pytest.raises(ProfileInvalid, match="trusted_root"):
        loaded.read_trusted_root()
    loaded.trusted_root.write_bytes(FakeLog("another/log").trusted_root().format())
    with pytest.raises(ProfileInvalid, match="does not list"):
        loaded.read_trusted_root()


def test_a_signing_key_is_read_with_the_passphrase_in_a_file(tmp_path):
    key = new_key(Algorithm.ECDSA_P256_SHA256)
    encrypted = BestAvailableEncryption(b"secret")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted)
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "passphrase").write_bytes(b"secret\r\n")
    text = PROFILE.replace("/keys/signing-key.pem", "key.pem")
    loaded = profile(tmp_path, text + 'signing_passphrase_file = "passphrase"\n')
    assert loaded.read_signer().algorithm is Algorithm.ECDSA_P256_SHA256
    without = profile(tmp_path, text.replace('signing_key = "key.pem"', ""))
    with pytest.raises(ProfileInvalid, match="no signing_key"):
        without.read_signer()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("công văn.pdf", "công văn.pdf"),
        (".bashrc", "_bashrc"),
        ("..", "_"),
        ("a/b\\c:d.pdf", "a_b_c_d.pdf"),
        ("CON.txt", "_CON.txt"),
        ("console.txt", "console.txt"),
        ("lpt1", "_lpt1"),
        ("fdp\u202eexe.pdf", "fdp_exe.pdf"),
        ("name. . ", "name"),
    ],
)
def test_a_sender_cannot_choose_a_file_name_that_means_more_than_a_name(name, safe):
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_extension_and_fits_a_file_system():
    name = safe_name("ă" * 300 + ".pdf")
    assert len(name.encode()) <= 255
    assert name.endswith("ă.pdf")


def test_the_fake_authority_names_whom_it_issues_to():
    certificate = FakeAuthority().issue("H29.3", new_key(Algorithm.ED25519))
    assert certificate.subject.rfc4514_string() == "CN=H29.3"
