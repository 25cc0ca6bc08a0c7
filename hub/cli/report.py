"""`lienthong evidence report`: what a bundle proves, as a page for a case file."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import local_time, say, say_fields, say_json, shown, size
from hub.cli.errors import CommandFailed
from hub.cli.messages import N_, _, language
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption, code_in_words
from hub.cli.verify import (
    ContentOption,
    LogOption,
    PolicyOption,
    TrustOption,
    checking,
    outcome_in_words,
    verdict_in_words,
)
from hub.client.state import write_durably
from hub.proof.bundle import BUNDLE_BYTES_MAX, Bundle, Fact, parse_bundle, position_of
from hub.proof.envelope import Document
from hub.proof.examination import examine_bundle
from hub.proof.findings import Findings, Verdict
from hub.proof.folders import read_at_most, reason
from hub.proof.leaf import Event, parse_leaf
from hub.proof.statements import (
    Collect,
    Envelope,
    Recall,
    RecallAnswer,
    Statement,
    Status,
    read_statement,
)
from hub.proof.succession import SIGNED_ROOT_BYTES_MAX

_OBSERVED = {
    "hub.Delivery.DeliveryExpired": N_("expired before it was collected"),
    "hub.Exchange.DocumentUpdated": N_("updated by a later document"),
    "hub.Exchange.DocumentReplaced": N_("replaced by a later document"),
    "hub.Exchange.PayloadErased": N_("erased by law, for good"),
    "hub.Exchange.SignatureVerdictMade": N_("the signatures it carries were examined"),
    "hub.Exchange.AxisSignaturesExamined": N_(
        "the signatures of a package from the axis were examined"
    ),
    "hub.Exchange.SignatureInDoubt": N_("a signature is in doubt, its key was revoked"),
}


def report(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE", dir_okay=False, help="A bundle, as `lienthong evidence bundle` makes."
        ),
    ],
    *,
    trust: TrustOption,
    out: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="Where the page goes: HTML.")
    ],
    policy: PolicyOption = None,
    log: LogOption = None,
    content: ContentOption = None,
    json_: JsonOption = False,
) -> None:
    """Examine a bundle and write what it proves as a page to read and to print.

    In the language of the command; one file without scripts, which loads nothing. The page
    proves nothing by itself: the bundle does. Exit status as with `lienthong verify`.
    """
    from hub.proof.__main__ import EXIT_STATUS

    if not out.parent.is_dir():
        raise typer.BadParameter(_("the folder for the page is not there"))
    data = _read(file)
    with checking(trust, policy=policy, log=log, content=content) as checks:
        findings = examine_bundle(data, checks)
    page = html_report(
        data,
        findings,
        basis=Basis(
            bundle=file.name,
            trusted_root=hashlib.sha256(read_at_most(trust, SIGNED_ROOT_BYTES_MAX)).hexdigest(),
            edition=checks.trust.version,
            examined_at=datetime.now(UTC),
        ),
    )
    write_durably(out, page.encode())
    if json_:
        say_json({"verdict": findings.verdict, "report": str(out)})
    else:
        say(outcome_in_words(findings.verdict), style="bold")
        say_fields([(_("Report"), str(out))])
    raise typer.Exit(EXIT_STATUS[findings.verdict])


@dataclass(frozen=True, slots=True)
class Basis:
    """What a report rests on: the bundle's file name, the trusted root by SHA-256, the time."""

    bundle: str
    trusted_root: str
    edition: int
    examined_at: datetime


def html_report(data: bytes, findings: Findings, *, basis: Basis) -> str:
    """A page about a bundle that was examined; of one that is refuted, only the findings.

    Everything that comes from the bundle is text, never markup, and invisible signs in it
    are shown as replaced.
    """
    body = [_heading(findings.verdict)]
    if findings.verdict is not Verdict.REFUTED:
        bundle = parse_bundle(data)
        body += [*_document(bundle), *_course(bundle)]
    body += [*_findings(findings), *_basis(data, basis)]
    return _page("".join(body))


# --- The parts of the page --------------------------------------------------------------


def _heading(verdict: Verdict) -> str:
    kind = verdict.name.lower()
    title = _tag("h1", _("Report on evidence"))
    return title + f'<p class="outcome {kind}">{_text(outcome_in_words(verdict))}</p>'


def _document(bundle: Bundle) -> Iterable[str]:
    envelope = next((said for said in map(_said, bundle.facts) if isinstance(said, Envelope)), None)
    yield _tag("h2", _("The document"))
    if envelope is None:
        yield _tag("p", _("The bundle does not hold the envelope, so it cannot be named here."))
        yield _fields([(_("Exchange"), bundle.exchange_id)])
        return
    document = envelope.document
    yield _fields(
        [
            (_("Kind"), document.type_name),
            (_("Number and notation"), document.code),
            (_("Subject"), document.subject),
            (_("Issued on"), document.issued_on.isoformat()),
            (_("From"), envelope.header.agency),
            (_("To"), ", ".join(envelope.recipients)),
            (_("Exchange"), bundle.exchange_id),
        ]
    )
    if document.attachments:
        yield from _attachments(document)


def _attachments(document: Document) -> Iterable[str]:
    yield _tag("h3", _("Attachments, as the sender signed them"))
    yield _table(
        [_("File"), _("Size"), "SHA-256"],
        [[one.name, size(one.size), one.sha256] for one in document.attachments],
    )


def _course(bundle: Bundle) -> Iterable[str]:
    yield _tag("h2", _("What happened"))
    yield _tag(
        "p",
        _("Times are those of the hub's own clock. Who signed, said it; the rest the hub says."),
    )
    rows = []
    for fact in bundle.facts:
        event = parse_leaf(fact.receipt.leaf)
        said = _said(fact)
        who, what = _unsigned(event) if said is None else (said.header.agency, _what(said))
        rows.append([str(position_of(fact.receipt)), local_time(event.time), who, what])
    yield _table([_("Position"), _("Time"), _("Signed by"), _("Says")], rows)


def _findings(findings: Findings) -> Iterable[str]:
    yield _tag("h2", _("What was found"))
    rows = "".join(
        f'<tr class="{finding.verdict.name.lower()}"><td>{finding.step}</td>'
        f"<td>{_text(verdict_in_words(finding.verdict))}</td>"
        f"<td>{_text(in_words(finding.text))}</td></tr>"
        for finding in findings.items
    )
    head = "".join(_tag("th", word) for word in ("", _("Verdict"), _("Finding")))
    yield f'<table class="findings"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    meanings = [
        (Verdict.PROVEN, _("follows by mathematics from the trusted root")),
        (Verdict.STATED, _("the hub's word, fixed in the log; nobody else vouches for it")),
        (Verdict.NOT_CHECKED, _("cannot be told from what was at hand")),
        (Verdict.REFUTED, _("does not hold; nothing after it was looked at")),
    ]
    yield _fields([(verdict_in_words(verdict), words) for verdict, words in meanings])


def _basis(data: bytes, basis: Basis) -> Iterable[str]:
    yield _tag("h2", _("What this report rests on"))
    yield _fields(
        [
            (_("Bundle"), basis.bundle),
            (_("SHA-256 of the bundle"), hashlib.sha256(data).hexdigest()),
            (_("Trusted root, edition"), str(basis.edition)),
            (_("SHA-256 of the trusted root"), basis.trusted_root),
            (_("Examined at"), local_time(basis.examined_at)),
            (_("By"), f"lienthong {version('lienthong')}"),
            (_("To examine it again"), f"lienthong verify --trust ROOT {basis.bundle}"),
        ]
    )
    yield _tag("p", _("This page proves nothing by itself: the bundle does."))


def _what(said: Statement) -> str:
    match said:
        case Envelope():
            return _("sent")
        case Collect():
            return _("collected")
        case Recall(reason=reason):
            return f"{code_in_words('13')}: {reason}"
        case Status(code=code, reason=reason) | RecallAnswer(code=code, reason=reason):
            return f"{code_in_words(code)}: {reason}" if reason else code_in_words(code)


def _unsigned(event: Event) -> tuple[str, str]:
    """Who and what, of an event whose statement is not there, or that has none."""
    who = _("nobody; the hub observed it")
    if "statement" in event.data:
        who = _("not in this file: withheld or erased")
    words = _(_OBSERVED[event.topic]) if event.topic in _OBSERVED else event.topic
    agency = event.data.get("agency")
    return who, f"{agency}: {words}" if isinstance(agency, str) else words


def _said(fact: Fact) -> Statement | None:
    return None if fact.statement is None else read_statement(fact.statement)


def _read(file: Path) -> bytes:
    try:
        return read_at_most(file, BUNDLE_BYTES_MAX)
    except OSError as error:
        raise CommandFailed(
            "UNUSABLE",
            _(
                "{file} cannot be read: {error}",
                file=shown(str(file)),
                error=in_words(reason(error)),
            ),
            _("Name a bundle, as `lienthong evidence bundle` makes."),
        ) from error


# --- Markup -----------------------------------------------------------------------------

# Everything a browser may do here is to show text in this style.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 11pt/1.45 "Noto Serif", "DejaVu Serif", Georgia, serif; color: #1a1a1a;
  max-width: 48em; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.5em; margin: 0 0 .6em; }
h2 { font-size: 1.15em; margin: 1.8em 0 .5em; border-bottom: 1px solid #999; }
h3 { font-size: 1em; margin: 1.2em 0 .4em; }
.outcome { border: 1px solid; border-left-width: .5em; padding: .6em .9em; font-weight: bold; }
.outcome.proven { color: #14532d; } .outcome.not_checked { color: #7a4a00; }
.outcome.refuted { color: #8b0000; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em .3em 0;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
thead { display: table-header-group; } tr { break-inside: avoid; }
table + dl { margin-top: .8em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1.2em; margin: 0 0 .8em; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
tr.refuted td { color: #8b0000; font-weight: bold; }
tr.not_checked td:nth-child(2) { color: #7a4a00; } tr.proven td:nth-child(2) { color: #14532d; }
td:first-child, .findings td:nth-child(2) { white-space: nowrap; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } @page { margin: 2cm; } }
"""


def _page(body: str) -> str:
    title = _text(_("Report on evidence"))
    return (
        f'<!DOCTYPE html>\n<html lang="{language().value}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _fields(fields: Sequence[tuple[str, str]]) -> str:
    pairs = "".join(_tag("dt", name) + _tag("dd", value) for name, value in fields)
    return f"<dl>{pairs}</dl>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(_tag("th", column) for column in columns)
    body = "".join(f"<tr>{''.join(_tag('td', cell) for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _tag(name: str, text: str) -> str:
    return f"<{name}>{_text(text)}</{name}>"


def _text(text: str) -> str:
    """Text as HTML: no markup, and no sign that could turn what stands around it."""
    return html.escape("\n".join(shown(line) for line in text.splitlines()))
