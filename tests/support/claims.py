"""What is promised, which cases there are, and which tests hold them.

A test says so by itself: `@pytest.mark.promise("...")`, with the words that a promise of
SECURITY.md has in bold, or `@pytest.mark.case("...")` with one of CASES. `make claims` writes
docs/claims.md.

The marks are read from the files, not from the tests that a run has collected: so it does not
matter which of them run, in how many processes.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache

from tests.support.servers import ROOT

FILE = ROOT / "docs" / "claims.md"
PROMISES = "What is promised"
CASES = {
    "Requests": [
        "methods with and without body; CONNECT and TRACE are 405",
        "only the pair is cut out of the query; a bare ? stays",
        "path bytes",
        "Connection names fields, but not ours",
        "hop-by-hop fields and Upgrade: h2c",
        "nothing is added; duplicates keep order and count",
        "Range, validators, Accept-Encoding; 206, 304, gzip",
        "a large upload streams, memory flat",
        "a client that stops in mid-upload",
        "413 in mid-upload; an echo does not deadlock",
        "Expect: 100-continue",
        "keep-alive; a service that closes after each answer",
        "an idle connection that was closed: GET is repeated once, POST is not replayed",
    ],
    "Answers": [
        "two Set-Cookie; odd reasons and statuses",
        "each event, and a head without a body, at once",
        "HEAD, 204 and 304",
        "a body that is cut is reported as broken, on every server that can show it",
        "bytes after the body",
        "lengths, codings and chunk sizes that are no such",
        "malformed fields; 150 fields pass, 65 KiB or 5,000 do not",
        "103, unsolicited 101, 1xx without end",
        "Location",
        "Set-Cookie",
        "a visitor leaves, also a silent stream",
        "refused, no head in time, garbage",
        "mounts, dispatchers, generators: the app's own answers are untouched",
        "wsgiref.validate and werkzeug's lint",
    ],
    "WebSockets": [
        "which requests are handshakes",
        "subprotocol and extensions are the service's choice",
        "frames in the packets of the heads; heads byte by byte",
        "a wrong 101; an ordinary answer",
        "16 MiB, fragments, pings, deflate, close codes",
        "half-close, reset, slow reader, silence, either side vanishes",
        "requests beside tunnels",
    ],
    "Hostile services and visitors": [
        "what is no port",
        "two ports; keys that are the app's own",
        "ports out of range, our own, loops",
        "one request, no open redirect, odd targets",
        "climbing paths",
        "an authorizer that raises or returns odd things; called once",
        "refused: zero bytes; WebSocket 403",
        "foreign origins",
        "withheld cookies",
        "identity fields",
        "proxy settings of the machine",
        "instructions to others, on a 101 too",
        "service workers",
        "shared caches",
        "cookies that a service may not set",
        "markup, insides, the log",
        "a port that hangs does not stop the others",
        "no answer, a slow head, an endless head",
        "an endless body to a slow reader; a gzip bomb",
        "a full listen queue; errors of the system at any step",
        "a worker that ends with tunnels and streams",
        "thousands that are aborted leave nothing",
    ],
    "Addresses and URLs": [
        "one address, told the same everywhere",
        "request fields with URLs",
        "a service's cookies on an https site",
        "a service that wants https",
        "own addresses in attributes of pages",
        "modules that import one another run once",
        "text, values, scripts and comments of pages stay byte for byte",
        "own sources of a Content-Security-Policy",
        "a service's own port and proxy in its URLs",
        "requests that do not say where they come from",
        "a handshake with a body",
        "many interim answers; spaces behind a chunk's size",
        "odd spellings of Content-Length; HTTP_VERSION; Cookie lines",
    ],
    "What visitors share": [
        "a body that a service leaves unread; what comes late",
        "thousands of requests to many ports; few descriptors",
        "floods of small pieces beside others' tunnels",
        "a front-end's next request behind a stream that left",
        "cookies without number",
        "what follows a withheld cookie",
        "another site's name for this machine",
        "the app as a service, by another port",
        "fields by which front-ends say who and what",
        "early hints only where they are wanted",
        "links with odd parameters",
        "sibling services' cookies",
        "a server that reads from connections in use",
        "one port with all the tunnels",
        "a long Accept",
        "our own port, for those who may know it",
    ],
    "What waits and what lasts": [
        "the same answer on a thread and in the relay",
        "a page of 4 MB to correct, beside open WebSockets",
        "a service that takes two seconds, a hundred at a time, on few threads",
        "two hundred uploads at 50 KB/s, on few threads",
        "an account that is switched off while a WebSocket is open",
    ],
}
_MARK = re.compile(r"pytest\.mark\.(promise|case)\b")


@cache
def claims() -> dict[str, list[str]]:
    """The headings of docs/claims.md, and what is to be held below each."""
    security = (ROOT / "SECURITY.md").read_text("utf-8")
    section = security.partition(f"## {PROMISES}")[2].partition("\n## ")[0]
    bold = re.findall(r"^- \*\*(.+?)\*\*", section, re.MULTILINE | re.DOTALL)
    promises = [" ".join(words.split()).replace("`", "").rstrip(".") for words in bold]
    return {PROMISES: promises, **CASES}


@cache
def holders() -> dict[str, list[str]]:
    """The tests that are marked with each claim, as `folder/test_file.py::test_name`."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text("utf-8")
        marks = len(_MARK.findall(text))
        if not marks:
            continue
        for test in ast.parse(text).body:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                for mark in test.decorator_list:
                    if isinstance(mark, ast.Call) and _MARK.fullmatch(ast.unparse(mark.func)):
                        (key,) = map(ast.literal_eval, mark.args)
                        found[key].append(f"{path.relative_to(ROOT / 'tests')}::{test.name}")
                        marks -= 1
        assert not marks, f"{path}: a mark that is on no test"
    return dict(found)


def document() -> str:
    lines = ["<!-- Written by `make claims` from the marks of the tests: do not edit. -->", ""]
    lines += ["# What is promised, and the tests that hold it", ""]
    lines += ["The promises are those of [SECURITY.md](../SECURITY.md). Paths are below `tests/`."]
    for heading, keys in claims().items():
        lines += ["", f"## {heading}", ""]
        for key in keys:
            lines += [f"- {key}", *(f"  - `{test}`" for test in holders().get(key, []))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), "utf-8")
