"""A document's story in sentences, and what each of them rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hub.auditor.story import Line, What
from hub.cli.console import local_time, shown
from hub.cli.document_signatures import outcome_in_words
from hub.cli.messages import N_, _
from hub.cli.session import code_in_words

_SENTENCES = {
    What.SUBMITTED: N_(
        "{agency} signed the envelope and sent it to {recipients}, with {count} attachment(s)."
    ),
    What.TAKEN: N_(
        "A document came over the national axis for {recipients}, with {count} attachment(s). It "
        "names {agency} as its sender, which nothing proves."
    ),
    What.UPDATED: N_("The hub linked this document to an update of it, exchange {other}."),
    What.REPLACED: N_(
        "The hub linked this document to its replacement, exchange {other}: it counts no more."
    ),
    What.RECALL_ASKED: N_("{agency} signed a recall (13) to {recipients}."),
    What.HANDED_OVER: N_("{agency} signed for the document; from here on its content is released."),
    What.STATUS: N_("{agency} signed the status {code}."),
    What.RECALL_ANSWERED: N_("{agency} signed its answer to the recall: {code}."),
    What.EXPIRED: N_(
        "{agency} had not signed for the document by {limit}: it expired, its content is withheld."
    ),
    What.ERASED: N_(
        "{ordered_by} ordered and {approved_by} approved that the document be erased by law "
        "({reason}; {basis}): its words and content are gone for good."
    ),
    What.AXIS_STATUS: N_(
        "The axis says that {agency} reports the status {code}; nobody signed that here."
    ),
    What.AXIS_RECALL: N_(
        "The axis says that {agency} wants the document back from {recipients}; nobody signed that "
        "here."
    ),
    What.AXIS_EXAMINED: N_(
        "The hub examined the signatures of what came over the axis at position {said}: {found}."
    ),
    What.EXAMINED: N_("The hub examined the signatures that the attachments carry."),
    What.IN_DOUBT: N_("The hub put a signature in doubt: its key was revoked."),
    What.EXPORTED: N_(
        "The auditor {by} took along all statements and {count} attachment(s), for the case {case}."
    ),
    What.OTHER: N_("An event that is unknown here: {topic}."),
}
# What else is said of a document that takes up an earlier one, by the envelope's action.
_RELATED = {
    "update": N_("It updates the document whose envelope is {older}."),
    "replace": N_("It replaces the document whose envelope is {older}."),
}
_OF_ERASURES = ("ordered_by", "approved_by", "reason", "basis")
_READ = {
    "statements": N_("The auditor {by} was shown all statements, for the case {case}."),
    "attachment": N_("The auditor {by} was shown attachment {number}, for the case {case}."),
}
_OBSERVED = {
    "event": N_("the whole event"),
    "link": N_("the link"),
    "time": N_("the time"),
    "position": N_("the position"),
    "numbers": N_("the numbers in inboxes and outboxes"),
    "warnings": N_("warnings"),
}


def sentence(line: Line) -> str:
    """What happened, in a sentence or two."""
    template = _SENTENCES.get(line.what)
    if line.what is What.READ:
        template = _READ.get(str(line.facts.get("read")))
    told = _(template or _SENTENCES[What.OTHER], **_values(line))
    related = _RELATED.get(str(line.facts.get("action")))
    if line.what is What.SUBMITTED and related is not None:
        older = shown(str(line.facts.get("relates_to")))
        return f"{told} {_(related, older=older)}"
    return told


def grounds(line: Line) -> list[str]:
    """Whose word each part of it is: what was signed, and what only the hub says."""
    found = []
    if line.signed is not None:
        template = (
            N_("Signed by {agency}, key {key}, {algorithm}; the signature was verified here.")
            if line.signed.verified
            else N_("Signed by {agency}, key {key}, {algorithm}; the hub verified the signature.")
        )
        values = {
            "agency": shown(line.signed.by),
            "key": shown(line.signed.key_id[:16]),
            "algorithm": shown(line.signed.algorithm),
        }
        found.append(_(template, **values))
    observed = ", ".join(_(_OBSERVED[name]) for name in line.observed)
    found.append(_("Observed by the hub alone: {what}.", what=observed))
    return found


def words(line: Line) -> list[str]:
    """What was read of it for a case."""
    found = []
    if "subject" in line.words:
        document = {name: shown(line.words[name]) for name in ("kind", "code", "subject")}
        found.append(_("{kind} {code}: {subject}", **document))
    if "reason" in line.words:
        found.append(_("Reason: {reason}", reason=shown(line.words["reason"])))
    return found


def _values(line: Line) -> dict[str, Any]:
    facts = line.facts
    attachments = facts.get("attachments", 0)
    return {
        "agency": _agency(line),
        "recipients": _recipients(facts),
        "count": len(attachments) if isinstance(attachments, list) else attachments,
        "other": shown(str(facts.get("by_exchange", ""))),
        "code": code_in_words(str(facts.get("code", ""))),
        "limit": _limit(facts.get("expires_at")),
        "by": shown(str(facts.get("by", ""))),
        "case": shown(str(facts.get("case", ""))),
        "number": facts.get("attachment", ""),
        "topic": shown(line.topic),
        "said": facts.get("position", ""),
        "found": ", ".join(map(outcome_in_words, facts.get("signatures") or ())),
        **{name: shown(str(facts.get(name, ""))) for name in _OF_ERASURES},
    }


def _agency(line: Line) -> str:
    if line.signed is not None and line.signed.by != line.signed.agency:
        return _(
            "{by} on behalf of {agency}",
            by=shown(line.signed.by),
            agency=shown(line.signed.agency),
        )
    return shown(str(line.facts.get("agency", line.facts.get("sender", ""))))


def _recipients(facts: Mapping[str, Any]) -> str:
    items: Sequence[Any] = facts.get("recipients") or facts.get("notices") or ()
    return ", ".join(shown(str(item["agency"])) for item in items)


def _limit(text: Any) -> str:
    return local_time(datetime.fromisoformat(text)) if isinstance(text, str) else ""
