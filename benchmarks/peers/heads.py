"""The requests of the comparison: what is asked for, and the fields that come with it.

One definition for both: the bytes that the load program sends, and the environ of measurements in
process.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Fields: TypeAlias = tuple[tuple[str, str], ...]

SMALL_PATH = "/small.js"
SMALL = b"/* one KiB */ var numbers = 0;\n" * 33 + b"\n"  # 1 KiB, and known: it is compared
LARGE_PATH = "/large.bin"
MOUNT = "/alice/vision"  # what the mount of `apps.ours` matches

CURL: Fields = (("User-Agent", "curl/8.14.1"), ("Accept", "*/*"))


def chromium(page: str) -> Fields:
    """What Chromium 140 sends for a script of `page`, with the app's two cookies and two of the
    service's."""
    return (
        ("Connection", "keep-alive"),
        ("sec-ch-ua-platform", '"Linux"'),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36",
        ),
        ("sec-ch-ua", '"Chromium";v="140", "Not=A?Brand";v="24"'),
        ("sec-ch-ua-mobile", "?0"),
        ("Accept", "*/*"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "script"),
        ("Referer", page),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "en-US,en;q=0.9"),
        (
            "Cookie",
            "sessionid=7nq3kx0c4l9v2m8w5z1t6y0b3d7f9h2j; "
            "csrftoken=Qm4xV8tZ1kR6wY3nB7cF0sJ5gH2dL9pA; "
            "_xsrf=2|8f0a1c3e|5b7d9f1a3c5e7092|1790000000; theme=dark",
        ),
    )


def wire(port: int, path: str, fields: Fields, method: str = "GET") -> str:
    """The head of a request to 127.0.0.1:`port`, to be sent as latin-1."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines) + "\r\n\r\n"


def environ(path: str, fields: Fields) -> WSGIEnvironment:
    """The environ that gunicorn makes of a GET, without the visitor's socket."""
    plain, _, query = path.partition("?")
    made: WSGIEnvironment = {
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "SERVER_SOFTWARE": "gunicorn/27.0.1",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": query,
        "RAW_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "SCRIPT_NAME": "",
        "PATH_INFO": plain,
        "HTTP_HOST": "127.0.0.1:8000",
    }
    for name, value in fields:
        made["HTTP_" + name.upper().replace("-", "_")] = value
    return made
