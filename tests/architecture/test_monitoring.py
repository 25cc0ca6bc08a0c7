"""What is written for monitoring and containers names only what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.application.measuring import METRICS, Kind
from hub.config import Settings
from tests.architecture.test_docs import commands, rows, section, text_of

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "docs" / "monitoring" / "lienthong.rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OPERATIONS = text_of(ROOT / "docs" / "operations.md")

METRIC_OF = {metric.name: metric for metric in METRICS}
# What Prometheus makes of a distribution.
SERIES = {
    f"{metric.name}{suffix}": metric
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
}


def documented() -> set[str]:
    table = section(OPERATIONS, "## What to watch").split("\n### ")[0]
    return {name for row in rows(table) for name in re.findall(r"`(lienthong_\w+)`", row[0])}


def test_every_metric_is_documented_and_none_that_is_not_there():
    assert documented() == set(METRIC_OF)


def test_the_page_names_no_metric_that_is_not_there():
    named = set(re.findall(r"`(lienthong_\w+)`", OPERATIONS))
    assert named <= set(METRIC_OF)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_rule_asks_for_series_and_labels_that_there_are(alert: dict[str, Any]):
    expr = alert["expr"]
    named = re.findall(r"\b(lienthong_\w+)(?:\{([^}]*)\})?", expr)
    assert named or "up{" in expr
    labels: set[str] = {"instance", "job"} if not named else {"instance"}
    for name, selectors in named:
        assert name in SERIES, name
        own = {*SERIES[name].labels, "le"} if name.endswith("_bucket") else SERIES[name].labels
        assert set(re.findall(r"(\w+)\s*[=!]~?", selectors)) <= set(own), expr
        labels |= set(own)
    for grouped in re.findall(r"by \(([^)]*)\)", expr):
        assert set(re.split(r",\s*", grouped)) <= labels
    summary = alert["annotations"]["summary"]
    assert set(re.findall(r"\$labels\.(\w+)", summary)) <= labels
    assert set(re.findall(r"lienthong_\w+", summary)) <= set(METRIC_OF)
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert expr.count("(") == expr.count(")")


def test_counters_are_only_asked_how_fast_they_rise():
    for alert in ALERTS:
        for name in re.findall(r"lienthong_\w+", alert["expr"]):
            if SERIES[name].kind is not Kind.GAUGE:
                assert re.search(rf"(?:rate|increase)\({name}\b", alert["expr"]), alert["alert"]


def test_no_two_rules_have_one_name():
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)


# --- Containers --------------------------------------------------------------------------


def settings_in(environment: dict[str, str]) -> set[str]:
    return {name for name in environment if name.startswith("LIENTHONG_")}


KNOWN = {f"LIENTHONG_{name.upper()}" for name in Settings.model_fields}


def test_every_variable_of_the_compose_file_is_a_setting_and_its_values_would_do(monkeypatch):
    ours = [each for each in COMPOSE["services"].values() if each["image"] == "lienthong"]
    hubs = [each for each in ours if "environment" in each]
    assert (len(ours), len(hubs)) == (4, 3)
    for hub in hubs:
        environment = hub["environment"]
        assert settings_in(environment) <= KNOWN
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        Settings(origin="hub.example/log")


def test_every_command_of_the_compose_file_exists():
    for name, service in COMPOSE["services"].items():
        if service["image"] != "lienthong" or name == "found":
            continue
        require_command(["lienthong", *service["command"]])
    (script,) = COMPOSE["services"]["found"]["command"]
    (line,) = re.findall(r"lienthong init(?:[^\n]*\\\n)*[^\n]*", script)
    require_command(shlex.split(line.replace("\\\n", " ")))
    require_command(COMPOSE["services"]["hub-2"]["healthcheck"]["test"][1:])


def require_command(words: list[str]) -> None:
    """What is typed is a command, with options that it has."""
    from hub.cli.main import build

    command: Any = build()
    for word in words[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    assert any(" ".join(words).startswith(known) for known in commands()), words
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, words


def test_the_compose_file_holds_together():
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"]
    for name in ("hub-1", "hub-2"):
        hub = services[name]
        wait_s = int(hub["stop_grace_period"].removesuffix("s"))
        environment = hub["environment"]
        drain = float(environment["LIENTHONG_STOP_NOTICE_S"]) + float(
            environment["LIENTHONG_DRAIN_S"]
        )
        assert wait_s > drain
        # Nothing is offered to other machines that asks nobody who they are.
        assert all(port.startswith("127.0.0.1:") for port in hub["ports"])


def test_the_image_is_built_from_locks_and_run_by_nobody():
    installs = re.findall(
        r"install(?: |\s*\\\n\s*)(--require-hashes[^\n]*|--no-deps[^\n]*)", DOCKERFILE
    )
    assert len(installs) == 3
    assert "--no-index" in installs[2]
    assert all("--only-binary :all:" in each for each in installs[:2])
    last = DOCKERFILE.split("FROM ")[-1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in last
    assert "VOLUME /data" in last
    assert "RUN pip" not in last
    assert "apt-get" not in DOCKERFILE
    assert "PIP_NO_CACHE_DIR=1" in DOCKERFILE
    assert "http" not in re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE)


def test_every_variable_and_command_of_the_image_exists():
    assert set(re.findall(r"LIENTHONG_\w+", DOCKERFILE)) <= KNOWN
    (check,) = re.findall(r"^  CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    require_command(yaml.safe_load(check))
    (serve,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    require_command(["lienthong", *yaml.safe_load(serve)])
    for line in re.findall(r"^#.*?lienthong ((?:init|signer)[^\n]*)$", DOCKERFILE, re.MULTILINE):
        require_command(["lienthong", *line.split()])


def test_what_is_copied_into_the_image_is_there_and_not_kept_out():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored, source
