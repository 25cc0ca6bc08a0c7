"""Examines the signatures of files that strangers made, in a process of its own.

    python -m hub.evidence.examiner [NICENESS]

Reads requests from standard input and writes answers to standard output, one after the
other, until the input ends. It opens no file and no connection; whoever started it ends it when
an answer takes too long. Each message begins with the length of a JSON object, 4 bytes in network
order; in a request the signature and the content follow, with the lengths it names.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO

from hub.evidence.documents import examine_cms, examine_pdf
from hub.evidence.found import LENGTH_BYTES, FoundSignature, answer, authorities_in
from hub.evidence.packages import FORM, examine_package

_MEMORY_BYTES_MAX = 2 << 30


def _examine(header: Mapping[str, Any], source: BinaryIO) -> list[FoundSignature]:
    authorities = authorities_in(header)
    at = datetime.fromisoformat(header["at"])
    length = header["signature_bytes"]
    signature = None if length is None else source.read(length)
    content = source.read(header["content_bytes"])
    if header["form"] == FORM:
        return examine_package(content, authorities, at)
    if signature is None:
        return examine_pdf(content, authorities, at)
    return examine_cms(signature, content, authorities, at)


def main() -> None:
    """Answer until the input ends."""
    os.nice(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    # A file that unfolds to gigabytes ends this process, not the machine.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    # Nothing that a library prints may be taken for an answer.
    sys.stdout = sys.stderr
    while len(length := source.read(LENGTH_BYTES)) == LENGTH_BYTES:
        header = json.loads(source.read(int.from_bytes(length, "big")))
        target.write(answer(_examine(header, source)))
        target.flush()


if __name__ == "__main__":
    main()
