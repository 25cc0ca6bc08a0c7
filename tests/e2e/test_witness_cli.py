"""What a witness's operator, a hub's operator and a verifier type."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.proof.note import VerifierKey
from tests.e2e.test_cli import FINANCE_CODE, SENDER, Site, new_site
from tests.support.forks import Forked
from tests.support.patience import PATIENCE_S


@dataclass
class Told:
    """A witness process, with what it said when it was up."""

    process: Forked
    first_line: str

    @property
    def url(self) -> str:
        return f"http://{self.first_line.split()[-1]}"

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        out, _err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out


@contextmanager
def serving(site: Site, state: Path, log: str) -> Iterator[Told]:
    arguments = ("witness", "serve", "--state", state, "--log", log, "--listen", "127.0.0.1:0")
    process = site.start(*arguments)
    try:
        assert process.stdout is not None
        yield Told(process, process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_two_witnesses_a_hub_and_a_verifier(tmp_path: Path):
    site = new_site(tmp_path / "hub")
    root = json.loads((site.folder / "trusted_root.json").read_text())
    log = root["logs"][0]["keys"][0]["vkey"]
    vkeys = []
    for name in ("w1", "w2"):
        made = site.type("witness", "init", "--state", tmp_path / name, "--name", f"{name}.example",
                         "--json").json  # fmt: skip
        vkeys.append(made["vkey"])
        assert VerifierKey.parse(made["vkey"]).name == made["name"] == f"{name}.example"
    letter = tmp_path / "công văn.txt"
    letter.write_text("Kính gửi: Sở Tài chính.\n")
    evidence = tmp_path / "x.receipt.json"

    def fetch(*options: str) -> dict[str, object]:
        return site.type(
            "evidence", "statement", sent["position"], "--out", evidence, *options, "--json",
            profile=SENDER,
        ).json  # fmt: skip

    with serving(site, tmp_path / "w1", log) as one, serving(site, tmp_path / "w2", log) as two:
        assert one.first_line.startswith("Witness w1.example listens on 127.0.0.1:")
        with (site.folder / "hub.toml").open("a") as settings:
            settings.write("witness_every_s = 0.1\n")
            for vkey, told in zip(vkeys, (one, two), strict=True):
                settings.write(f'[[witnesses]]\nvkey = "{vkey}"\nurl = "{told.url}"\n')
        site.serve()
        sent = site.send(
            letter, "--to", FINANCE_CODE, "--subject", "V/v liên thông", "--issued-on",
            "22/11/2026", "--json",
        ).json  # fmt: skip
        give_up = time.monotonic() + PATIENCE_S
        while len(fetch("--cosigned")["cosigners"]) < 2:
            assert time.monotonic() < give_up
        shown = site.type(
            "evidence", "statement", sent["position"], "--out", evidence, "--cosigned",
            profile=SENDER,
        )  # fmt: skip
        assert "Witnesses named" in shown.out
        assert "w1.example" in shown.out
        assert one.stop()[0] == two.stop()[0] == 0
    assert site.stop().status == 0
    assert site.type("ledger", "fsck", site.folder).status == 0

    policy = tmp_path / "policy"
    trust = ("--trust", site.folder / "trusted_root.json", "--policy", policy)
    policy.write_text(
        f"witness A {vkeys[0]}\nwitness B {vkeys[1]}\ngroup both all A B\nquorum both\n"
    )
    checked = site.type("verify", *trust, evidence)
    # The chain of the certificate is not checked here; everything else is proven.
    assert checked.status == 2
    assert "cosigned by w1.example, w2.example; the policy asks for no more" in checked.out
    assert (
        "ký cùng: w1.example, w2.example; chính sách"
        in site.type("verify", *trust, evidence, language="vi").out
    )
    assert json.loads(site.type("verify", *trust, evidence, "--json").out)["verdict"] == (
        "not checked"
    )
    stranger = site.type("witness", "init", "--state", tmp_path / "w3", "--name", "w3.example",
                         "--json").json["vkey"]  # fmt: skip
    policy.write_text(f"witness C {stranger}\nquorum C\n")
    refused = site.type("verify", *trust, evidence)
    assert refused.status == 1
    assert "quorum" in refused.out
    policy.write_text("junk\n")
    assert site.type("verify", *trust, evidence).status == 1


@pytest.mark.parametrize("language", ["en", "vi"])
def test_what_a_witness_cannot_do_is_said_in_a_sentence(tmp_path: Path, language: str):
    site = Site(tmp_path / "none", language)
    state = ("--state", tmp_path / "w")
    nothing_there = site.type("witness", "serve", *state, "--log", VKEY)
    assert (nothing_there.status, "WITNESS_STATE" in nothing_there.err) == (1, True)
    made = site.type("witness", "init", *state, "--name", "w.example")
    assert (made.status, "w.example+" in made.out) == (0, True)
    again = site.type("witness", "init", *state, "--name", "w.example")
    assert (again.status, "WITNESS_STATE" in again.err) == (1, True)
    no_key = site.type("witness", "serve", *state, "--log", "junk")
    assert (no_key.status, "VERIFICATION_FAILED" in no_key.err) == (1, True)
    no_place = site.type("witness", "serve", *state, "--log", VKEY, "--listen", "nowhere")
    assert (no_place.status, "ADDRESS_IN_USE" in no_place.err) == (1, True)


VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
