"""Settings are checked before anything starts, and say what is wrong with them."""

import os
from datetime import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from hub.config import FILE_NAME, AxisSetting, ConfigInvalid, Settings
from hub.proof.note import KeyType
from tests.unit.proof.building import LOG, WITNESS, Signer

W1, LOG_KEY = WITNESS.key.format(), LOG.key.format()
ORIGIN = 'origin = "hub.example/log"\n'
WITH_WITNESSES = 'origin = "hub.example/log"\nwitnesses = [{}]'
MANY = [
    f'{{vkey = "{Signer(f"w{n}", f"w{n}", KeyType.COSIGNATURE).key.format()}", url = "https://w"}}'
    for n in range(33)
]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("LIENTHONG_"):
            monkeypatch.delenv(name)


def load(folder: Path, text: str) -> Settings:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return Settings.load(folder)


def test_only_the_origin_must_be_given(tmp_path):
    settings = load(tmp_path, 'origin = "hub.example/log"')

    assert settings.origin == "hub.example/log"
    assert settings.listen == "127.0.0.1:8443"
    assert settings.database_url == "sqlite:///hub.db"
    assert (settings.batch_max, settings.queue_max, settings.reader_threads) == (256, 4096, 8)


RESPONDERS = """origin = "hub.example/log"
[[ocsp_responders]]
name = "{}"
url = "http://ca/ocsp"
[[ocsp_responders]]
name = "{}"
url = "http://ca/ocsp"
method = "{}"
"""


def test_every_field_can_be_given_in_the_file(tmp_path):
    values = {
        "origin": "hub.example/log",
        "listen": "[::]:0",
        "http_listen": "[::]:1",
        "metrics_listen": "127.0.0.1:2",
        "trace_endpoint": "http://collector:4317",
        "trace_share": 0.5,
        "stop_notice_s": 1.5,
        "drain_s": 2.5,
        "custody": "pkcs11",
        "key_secret_file": "secret",
        "pkcs11_module": "/usr/lib/token.so",
        "pkcs11_token": "lienthong",
        "signer": "unix:/run/lienthong/signer.sock",
        "signer_timeout_s": 0.5,
        "database_url": "sqlite:///other.db",
        "document_keys_url": "sqlite:///other-keys.db",
        "content_url": "s3://bucket/prefix?endpoint=https://s3.example",
        "content_credentials_file": "s3",
        "content_timeout_s": 1.5,
        "start_check_events": 7,
        "batch_max": 1,
        "queue_max": 1,
        "queue_per_agency": 2,
        "rate_per_agency": 0.5,
        "burst_per_agency": 3,
        "reader_threads": 1,
        "connections_max": 1,
        "calls_per_caller": 1,
        "reader_stall_s": 0.5,
        "timestamp_every_s": 60,
        "timestamp_timeout_s": 0.5,
        "timestamp_renew_before_days": 1,
        "crl_every_s": 60,
        "crl_timeout_s": 0.5,
        "crl_age_max_h": 1,
        "crl_stale": "refuse",
        "ocsp_every_s": 61,
        "ocsp_timeout_s": 0.5,
        "document_signatures": "off",
        "signature_timeout_s": 2.5,
        "upload_age_h": 1,
        "key_lifetime_days": 100,
        "key_announce_days": 10,
        "key_overlap_days": 5,
        "witness_every_s": 0.5,
        "log_format": "text",
        "log_level": "debug",
        "work_begin": time(8),
        "work_end": time(16, 30),
        "time_zone": "Asia/Bangkok",
    }
    text = "\n".join(
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in values.items()
    )
    text += '\nkey_recipients = ["age1x", "age1y"]\n'
    values["key_recipients"] = ("age1x", "age1y")
    values["retention"] = {"Công văn": 10, "LCT": 1}
    text += '\n[retention]\n"Công văn" = 10\nLCT = 1\n'

    text += f'\n[[witnesses]]\nvkey = "{W1}"\nurl = "https://w1.example/prefix"\n'
    values["witnesses"] = ({"vkey": W1, "url": "https://w1.example/prefix"},)
    authority = {"name": "tsa", "url": "http://tsa", "certificates": "a.pem", "policy": "1.2.3"}
    text += "\n[[timestamp_authorities]]\n"
    text += "\n".join(f'{name} = "{value}"' for name, value in authority.items())
    text = 'signatures_required_by = ["H29.2.7"]\n' + text
    text = 'person_and_agency_required_by = ["H29.2.9"]\n' + text
    values["person_and_agency_required_by"] = ("H29.2.9",)
    values["signatures_required_by"] = ("H29.2.7",)
    text += '\n[[crls]]\nname = "ca"\nurl = "http://ca/ca.crl"\n'
    values["crls"] = ({"name": "ca", "url": "http://ca/ca.crl"},)
    responder = {"name": "ca", "url": "http://ca/ocsp", "issuers": "a.pem", "method": "get"}
    text += "\n[[ocsp_responders]]\n"
    text += "\n".join(f'{name} = "{value}"' for name, value in responder.items())
    text += '\nhash = "sha256"\nnonce = false\n'
    values["ocsp_responders"] = (responder | {"hash": "sha256", "nonce": False},)
    axis = {"endpoint": "http://axis", "system_id": "H29", "secrets": ("a",)}
    text += '\n[axis]\nendpoint = "http://axis"\nsystem_id = "H29"\nsecrets = ["a"]\n'
    values["axis"] = AxisSetting(**axis).model_dump()

    assert load(tmp_path, text).model_dump() == values | {"timestamp_authorities": (authority,)}


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LIENTHONG_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("LIENTHONG_BATCH_MAX", "7")

    settings = load(tmp_path, 'origin = "hub.example/log"\nlisten = "127.0.0.1:2"')

    assert (settings.listen, settings.batch_max) == ("127.0.0.1:1", 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "origin"),
        ('origin = "hub.example/log"\nretention = 10', "retention"),
        ('origin = "hub.example/log"\n[retention]\n"Công văn" = 0', "retention"),
        ('origin = "hub.example/log"\n[retention]\n"Công văn" = 101', "retention"),
        ('origin = "hub.example/log"\n[retention]\n"-" = 10', "retention"),
        ('origin = ""', "origin"),
        ('origin = "Hub.Example"', "origin"),
        ('origin = "hub.example\\nx"', "origin"),
        ('origin = "hub.example/log"\nlisten_on = "x"', "listen_on"),
        ('origin = "hub.example/log"\nqueue_mx = 1', "is queue_max meant?"),
        (
            f'{ORIGIN}[axis]\nendpoint = "http://a"\nsystem_id="a"\nsecret = "a"',
            "is secrets meant?",
        ),
        (f'{ORIGIN}[[crls]]\nname = "a"\nurll = "http://a"', "is url meant?"),
        (f"{ORIGIN}zzzzzzzz = 1", "zzzzzzzz: there is no such setting"),
        (f'{ORIGIN}batch_max = "many"', "batch_max: Input should be a valid integer"),
        (f'{ORIGIN}listen = "8443"', "listen"),
        (f'{ORIGIN}http_listen = "0.0.0.0"', "http_listen"),
        (f'{ORIGIN}metrics_listen = "127.0.0.1:x"', "metrics_listen"),
        (f'{ORIGIN}metrics_listen = "127.0.0.1:8443"', "listen and metrics_listen are the same"),
        (f'{ORIGIN}trace_endpoint = "collector:4317"', "trace_endpoint"),
        (f"{ORIGIN}trace_share = 0", "trace_share"),
        (f"{ORIGIN}drain_s = 0", "drain_s"),
        ('origin = "hub.example/log"\nbatch_max = 0', "batch_max"),
        ('origin = "hub.example/log"\ncontent_url = "http://s3/bucket"', "content_url"),
        ('origin = "hub.example/log"\ncontent_url = "s3://me:secret@bucket/p"', "content_url"),
        (RESPONDERS.format("ca", "given", "post"), "came along"),
        (RESPONDERS.format("ca", "ca", "post"), "the same name"),
        (RESPONDERS.format("ca", "cb", "put"), "method"),
        ('origin = "hub.example/log"\nbatch_max = 5000', "batch_max"),
        ('origin = "hub.example/log"\nqueue_per_agency = 0', "queue_per_agency"),
        ('origin = "hub.example/log"\nrate_per_agency = 0', "rate_per_agency"),
        ('origin = "hub.example/log"\nburst_per_agency = 0', "burst_per_agency"),
        ('origin = "hub.example/log"\nlog_level = "loud"', "log_level"),
        ("origin = ", "cannot be read"),
        (WITH_WITNESSES.format('{vkey = "junk", url = "https://w"}'), "witnesses.0.vkey"),
        (WITH_WITNESSES.format(f'{{vkey = "{LOG_KEY}", url = "https://w"}}'), "not of a witness"),
        (WITH_WITNESSES.format(f'{{vkey = "{W1}"}}'), "witnesses.0.url"),
        (WITH_WITNESSES.format(f'{{vkey = "{W1}", url = "ftp://w"}}'), "witnesses.0.url"),
        (WITH_WITNESSES.format(f'{{vkey = "{W1}", url = "https://w", x = 1}}'), "witnesses.0.x"),
        (WITH_WITNESSES.format(f'{{vkey = "{W1}", url = "https://w"}}, ' * 2), "the same key"),
        (WITH_WITNESSES.format(", ".join(MANY)), "at most 32"),
        ('origin = "hub.example/log"\nwitness_every_s = 0', "witness_every_s"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, text, words):
    with pytest.raises(ConfigInvalid) as refusal:
        load(tmp_path, text)

    assert words in str(refusal.value)
    assert str(tmp_path / FILE_NAME) in str(refusal.value)


def test_witnesses_can_be_given_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LIENTHONG_WITNESSES", f'[{{"vkey": "{W1}", "url": "http://127.0.0.1:1"}}]')

    (witness,) = load(tmp_path, 'origin = "hub.example/log"').witnesses

    assert (witness.key, witness.url) == (WITNESS.key, "http://127.0.0.1:1")


def test_a_wrong_environment_is_named_too(tmp_path, monkeypatch):
    monkeypatch.setenv("LIENTHONG_QUEUE_MAX", "many")

    with pytest.raises(ConfigInvalid, match="queue_max"):
        load(tmp_path, 'origin = "hub.example/log"')


def test_a_variable_that_is_a_setting_misspelt_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LIENTHONG_QUEUE_MX", "1")
    with pytest.raises(ConfigInvalid, match="LIENTHONG_QUEUE_MX is no setting; is LIENTHONG_QUEUE"):
        load(tmp_path, ORIGIN)


@pytest.mark.parametrize(
    "name", ["KEY_SECRET", "LANG", "PROFILE", "PORT", "SERVICE_HOST", "PORT_8443_TCP_ADDR"]
)
def test_variables_that_are_no_settings_are_let_be(tmp_path, monkeypatch, name):
    monkeypatch.setenv(f"LIENTHONG_{name}", "tcp://10.0.0.1:8443")
    assert load(tmp_path, ORIGIN).listen == "127.0.0.1:8443"


def test_what_is_wrong_is_told_without_its_value(tmp_path, monkeypatch):
    monkeypatch.setenv("LIENTHONG_SIGNER_TIMEOUT_S", "hunter2")
    with pytest.raises(ConfigInvalid) as refused:
        load(tmp_path, ORIGIN)
    assert "signer_timeout_s" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b'origin = "\xff"')

    with pytest.raises(ConfigInvalid, match="cannot be read"):
        Settings.load(tmp_path)


def test_a_folder_without_a_hub_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigInvalid, match="lienthong init"):
        Settings.load(tmp_path)


def test_settings_do_not_change_while_a_hub_runs(tmp_path):
    settings = load(tmp_path, 'origin = "hub.example/log"')

    with pytest.raises(ValidationError):
        settings.batch_max = 1


def test_office_hours_are_local_times_in_a_known_zone(tmp_path):
    settings = load(
        tmp_path, 'origin = "hub.example/log"\nwork_begin = 08:00:00\nwork_end = "16:30"\n'
    )
    assert (settings.work_begin, settings.work_end) == (time(8), time(16, 30))
    assert settings.time_zone == "Asia/Ho_Chi_Minh"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('work_end = "07:30"', "work_begin must be earlier than work_end"),
        ('work_end = "17:00+07:00"', "local times, without an offset"),
        ('time_zone = "Asia/Atlantis"', "no time zone of the IANA database"),
        ('time_zone = "../etc/passwd"', "no time zone of the IANA database"),
        ('time_zone = ""', "no time zone of the IANA database"),
    ],
)
def test_office_hours_that_cannot_be_are_refused(tmp_path, line, said):
    with pytest.raises(ConfigInvalid, match=said):
        load(tmp_path, f'origin = "hub.example/log"\n{line}\n')


@pytest.mark.parametrize(
    "signer",
    ["local", "unix:/run/signer", "tls://signer:8445", "tls://10.0.0.7:1", "tls://[fd00::7]:65535"],
)
def test_a_signer_is_here_or_on_a_socket_or_on_another_machine(tmp_path: Path, signer: str):
    assert load(tmp_path, f'{ORIGIN}signer = "{signer}"').signer == signer


@pytest.mark.parametrize(
    "signer",
    [
        "", "tls://", "tls://signer", "tls://signer:", "tls://signer:0", "tls://signer:65536",
        "tls://fd00::7:8445", "tls://user@signer:8445", "tls://signer:8445/log", "https://signer:1",
        "unix:signer", "tls:signer:8445",
    ],
)  # fmt: skip
def test_a_signer_anywhere_else_is_refused(tmp_path: Path, signer: str):
    with pytest.raises(ConfigInvalid, match="signer"):
        load(tmp_path, f'{ORIGIN}signer = "{signer}"')
