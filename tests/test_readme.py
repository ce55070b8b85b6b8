"""Runs the code in README.md, and compares what the documents state with the package.

A block of code is found by the file name in its first line, a table by the heading above it.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import math
import os
import re
import resource
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from webob.exc import HTTPFound
from werkzeug.test import Client

import wsgi_portproxy
from tests.conftest import ServiceFactory
from tests.support import hostapp
from tests.support.ports import free_port
from tests.support.received import Received, recording
from tests.support.servers import Server, running
from tests.support.service import Exchange, Script, answers
from tests.support.waiting import until
from wsgi_portproxy import AskApp, PortProxy, PortProxyError, Target
from wsgi_portproxy.authorize import NO_SESSION, SIGN_IN_AGAIN

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from webob import Request

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = ["README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"]
DOCUMENTED_PORT = 15000  # what the README's texts and commands show

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
KINDS = ("curl", "browser")
CODE = re.compile(r"`([^`]+)`")


# --- Reading the README --------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return [code for found, code in FENCE.findall(README) if found == language]


def block(first_line: str) -> str:
    """The Python block that begins so."""
    (code,) = [code for code in blocks("python") if code.startswith(first_line + "\n")]
    return code


@dataclass(frozen=True)
class Command:
    """A line of a shell block, for this Python and its packages."""

    env: dict[str, str]
    arguments: list[str]

    def run(self, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.arguments, *more],
            cwd=folder,
            env={**os.environ, **self.env, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def command(containing: str) -> Command:
    """The one line of all shell blocks that contains this text."""
    lines = [line for code in blocks("sh") for line in code.splitlines() if containing in line]
    (words,) = map(shlex.split, lines)
    env = {}
    while "=" in words[0]:
        name, _, env[name] = words.pop(0).partition("=")
    programs = {"python3": [sys.executable], "gunicorn": [sys.executable, "-m", "gunicorn"]}
    return Command(env, [*programs[words[0]], *words[1:]])


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its header."""
    _, found, after = README.partition(f"\n{heading}\n")
    assert found, heading
    rows = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert rows is not None
    lines = rows[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_every_block_of_python_compiles(code: str) -> None:
    compile(code, "README.md", "exec")


# --- The quick starts ----------------------------------------------------------------------------


class Visitor:
    """A browser as far as these tests need one: it keeps cookies and follows redirects."""

    def __init__(self, server: Server) -> None:
        self._site = f"http://127.0.0.1:{server.port}"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        return self._open(urllib.request.Request(self._site + path, headers=headers))

    def submit(self, path: str, fields: dict[str, str]) -> tuple[int, str]:
        body = urllib.parse.urlencode(fields).encode()
        return self._open(urllib.request.Request(self._site + path, data=body))

    def _open(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self._opener.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@contextlib.contextmanager
def served(folder: Path, app: str) -> Iterator[Server]:
    """gunicorn as the README starts it, in `folder`."""
    start = command(f"gunicorn --threads 32 {app}")
    port = free_port()
    address = ["--bind", f"127.0.0.1:{port}", "--chdir", str(folder)]
    with running([*start.arguments, *address], port, env=start.env) as server:
        yield server
        assert "/wsgi_portproxy/" not in server.output()  # in no traceback, that is


@pytest.fixture
def received() -> list[Received]:
    """What reached the service, `port`."""
    return []


@pytest.fixture
def port(service: ServiceFactory, received: list[Received]) -> int:
    return service(recording(received)).port


def test_the_plain_quick_start_opens_the_port_to_alice_only(
    tmp_path: Path, port: int, received: list[Received]
) -> None:
    (tmp_path / "hello_wsgi.py").write_text(block("# hello_wsgi.py"))
    alice = {"Authorization": "Basic YWxpY2U6dHJ5LW1l"}  # alice:try-me
    wrong = {"Authorization": "Basic YWxpY2U6"}
    with served(tmp_path, "hello_wsgi:application") as server:
        visitor = Visitor(server)
        assert visitor.get("/") == (200, "The app itself.\n")
        assert visitor.get(f"/alice/vision/?port={port}")[0] == 401
        assert visitor.get(f"/alice/vision/?port={port}", **wrong)[0] == 401
        assert visitor.get(f"/bob/audio/?port={port}", **alice)[0] == 401
        assert received == []
        assert visitor.get(f"/alice/vision/a?x=1&port={port}", **alice) == (200, "hi")
        assert visitor.get(f"/alice/vision/proxy/{port}/b", **alice) == (200, "hi")
    assert [request.target for request in received] == ["/a?x=1", "/b"]
    assert not any("authorization" in request.names for request in received)


def test_the_flask_quick_start_asks_for_a_login_and_keeps_its_session(
    tmp_path: Path, port: int, received: list[Received]
) -> None:
    # Its login leads to the port of the README's service.
    code = block("# hello_flask.py").replace(f"port={DOCUMENTED_PORT}", f"port={port}")
    (tmp_path / "hello_flask.py").write_text(code)
    with served(tmp_path, "hello_flask:app") as server:
        visitor = Visitor(server)
        status, page = visitor.get(f"/alice/vision/?port={port}")
        assert (status, 'type="password"' in page) == (200, True)
        assert 'type="password"' in visitor.submit("/login", {"password": "wrong"})[1]
        assert received == []
        assert visitor.submit("/login", {"password": "try-me"}) == (200, "hi")
        assert visitor.get(f"/bob/audio/?port={port}")[0] == 403
    assert [request.target for request in received] == ["/"]
    assert "cookie" not in received[0].names


def test_the_django_quick_start_asks_for_a_login_and_keeps_its_session(
    tmp_path: Path, port: int, received: list[Received], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    new_project = [sys.executable, "-m", "django", "startproject", "mysite", str(tmp_path)]
    subprocess.run(new_project, check=True)
    (tmp_path / "mysite" / "wsgi.py").write_text(block("# mysite/wsgi.py"))
    for line in ("manage.py migrate", "manage.py createsuperuser"):
        done = command(line).run(tmp_path)
        assert done.returncode == 0, done.stdout
    with served(tmp_path, "mysite.wsgi:application") as server:
        visitor = Visitor(server)
        status, page = visitor.get(f"/alice/vision/?port={port}&x=1")
        form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
        assert (status, form["next"]) == (200, f"/alice/vision/?port={port}&amp;x=1")
        assert received == []
        form |= {
            "username": "alice",
            "password": "try-me",
            "next": form["next"].replace("amp;", ""),
        }
        assert visitor.submit("/admin/login/", form) == (200, "hi")
        assert visitor.get(f"/bob/audio/?port={port}")[0] == 403
    assert [request.target for request in received] == ["/?x=1"]
    assert "cookie" not in received[0].names


def run_block(first_line: str, **names: object) -> PortProxy:
    """`application` as a block makes it, which finds `names` defined."""
    namespace: dict[str, Any] = dict(names)
    exec(compile(block(first_line), "README.md", "exec"), namespace)  # noqa: S102
    application = namespace["application"]
    assert isinstance(application, PortProxy)
    return application


def get(application: WSGIApplication, path: str, **request: Any) -> tuple[int, str]:
    answer = Client(application, use_cookies=False).open(path, **request)
    try:
        return answer.status_code, answer.text
    finally:
        answer.close()


def test_the_askapp_line_opens_ports_to_whom_the_page_opens(port: int) -> None:
    line = "from wsgi_portproxy import AskApp, PortProxy"
    with contextlib.closing(run_block(line, application=hostapp.app)) as application:
        for user, status in (("alice", 200), ("bob", 403), ("", 302)):
            headers = {"Cookie": f"user={user}"} if user else {}
            path = f"/alice/vision/?port={port}"
            assert get(application, path, headers=headers)[0] == status, user


def test_the_ports_callable_gives_each_user_ports_of_their_own() -> None:
    names = {"PortProxy": PortProxy, "app": hostapp.app, "may_open": lambda request, target: True}
    application = run_block('FIRST_PORT = {"alice": 10000, "bob": 10100}', **names)
    refused = {"alice": "10000-10099", "bob": "10100-10199"}
    for user, own in refused.items():
        text = f"Port 10200 is outside allowed range ({own})\n"
        assert get(application, f"/{user}/x/?port=10200") == (403, text)
    assert get(application, "/carol/x/?port=10000")[0] == 403


def names_in(first_line: str) -> dict[str, Any]:
    """What a block defines."""
    namespace: dict[str, Any] = {}
    exec(compile(block(first_line), "README.md", "exec"), namespace)  # noqa: S102
    return namespace


def test_the_links_are_those_that_the_comments_say() -> None:
    names = names_in("# links.py")
    made: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        made.append(names["link_from_elsewhere"](environ))
        if environ["PATH_INFO"] != "/":
            made.append(names["tensorboard_link"](environ))
        start_response("200 OK", [])
        return []

    application = PortProxy(
        app, authorizer=lambda request, target: True, mount="/{username}/{project}"
    )
    for path in ("/alice/vision/settings", "/"):
        get(application, path)
    elsewhere, here = "/alice/vision/proxy/16006/#scalars", "/alice/vision/proxy/16006/"
    assert made == [elsewhere, here, elsewhere]
    assert f"# {here}\n" in block("# links.py")


def test_the_page_adapter_and_the_settings_by_port_work(service: ServiceFactory) -> None:
    page = b'<html data-root="/"></html>'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    upstream = service(answers(head % len(page) + page))
    by_port = names_in("# services.py")
    adapters = names_in("# adapters.py")["page_adapters"]
    application = PortProxy(
        hostapp.app,
        authorizer=lambda request, target: True,
        page_adapters=adapters,
        strip_mount=by_port["strip_mount"],
        identity=by_port["identity"],
    )
    path = f"/proxy/{upstream.port}/"
    with contextlib.closing(application):
        answer = get(application, path, headers={"Sec-Fetch-Mode": "navigate"})
    assert answer == (200, f'<html data-root="{path}"></html>')
    assert b"\r\nHost: localhost:" in upstream.heads[0]
    target = Target(15888, "/", "/proxy/15888", {}, "path", False)
    assert (by_port["strip_mount"](target), by_port["identity"](target)) == (False, "local")
    assert by_port["identity"](Target(15100, "/", "", {}, "path", False)) == "external"


def test_the_metrics_count_what_became_of_requests(service: ServiceFactory) -> None:
    names = names_in("# metrics.py")
    application = PortProxy(
        hostapp.app, authorizer=lambda request, target: True, on_request=names["count"]
    )
    port = service(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")).port
    with contextlib.closing(application):
        get(application, f"/?port={port}")
        get(application, "/?port=80")
    assert names["totals"] == {("query", 200, "complete"): 1, ("query", 403, "refused"): 1}


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    (tmp_path / "hello_wsgi.py").write_text(block("# hello_wsgi.py"))
    test = block("# test_ports.py").replace("15999", str(free_port()))
    (tmp_path / "test_ports.py").write_text(test)
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = command("pytest test_ports.py").run(tmp_path, *settings)
    assert done.returncode == 0, done.stdout


# --- The settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "documented"), [("### PortProxy", PortProxy), ("### AskApp", AskApp)]
)
def test_the_settings_are_those_of_the_code(
    heading: str, documented: Callable[..., object]
) -> None:
    parameters = inspect.signature(documented).parameters
    rows = {CODE.findall(row[0])[0]: row for row in table(heading)}
    assert list(rows) == [name for name in parameters if name != "app"]
    for name, (_, default, unit, why) in rows.items():
        assert unit
        assert why
        expected = parameters[name].default
        if expected is inspect.Parameter.empty:
            assert default == "required"
        elif name == "page_adapters":
            assert {one.name.partition(",")[0] for one in expected} == {*default.split(", ")}
        elif isinstance(expected, frozenset):
            assert set(CODE.findall(default)) == expected
        else:
            assert default.replace('"', "'") == f"`{expected!r}`", name


# --- The error texts -----------------------------------------------------------------------------


def ask(
    path: str = f"/?port={DOCUMENTED_PORT}",
    *,
    authorizer: Callable[[Request, Target], Any] = lambda request, target: True,
    settings: dict[str, Any] | None = None,
    **request: Any,
) -> tuple[int, str]:
    application = PortProxy(hostapp.app, authorizer=authorizer, **(settings or {}))
    with contextlib.closing(application):
        return get(application, path, **request)


def ask_of(service: ServiceFactory, script: Script, **request: Any) -> tuple[int, str]:
    """The answer to a request for a service, as if it were on the documented port."""
    port = service(script).port
    status, text = ask(f"/?port={port}", **request)
    return status, text.replace(str(port), str(DOCUMENTED_PORT))


def not_running(service: ServiceFactory) -> tuple[int, str]:
    port = free_port()
    status, text = ask(f"/?port={port}")
    return status, text.replace(str(port), str(DOCUMENTED_PORT))


def own_via(service: ServiceFactory) -> tuple[int, str]:
    received: list[Received] = []
    ask_of(service, recording(received))
    return ask(headers={"Via": received[0].values("via")[0]})


def without_descriptors(service: ServiceFactory) -> tuple[int, str]:
    not_running(service)  # what is imported at the first connection has to be there
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        return ask()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def raises(request: Request, target: Target) -> bool:
    raise RuntimeError("for the test")


def fails(target: Target) -> str:
    raise RuntimeError("for the test")


def hang_up(exchange: Exchange) -> None:
    exchange.read_head()


def stay_silent(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.peer_closed(10)


def environ(**values: object) -> dict[str, Any]:
    return {"method": "POST", "environ_overrides": values}


def handshake(
    settings: dict[str, Any] | None = None,
    *,
    environ: dict[str, object] | None = None,
    **fields: str,
) -> tuple[int, str]:
    """The answer to a WebSocket handshake on a server that shows its connection."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        values = {"werkzeug.socket": ours, **(environ or {})}
        return ask(settings=settings, headers=headers, environ_overrides=values)


def at_host(*, cookie: str = "", isolate: bool = False, **request: Any) -> tuple[int, str]:
    """The answer at, or about, a port's own host name, to somebody whom a login refuses."""
    template = "{port}.ports.example.com"
    settings = {"host": template, "isolate": isolate}
    headers = {"Host": template.format(port=DOCUMENTED_PORT), "Cookie": cookie}
    return ask(settings=settings, headers=headers, **request)


def on_ipv6_only(service: ServiceFactory) -> tuple[int, str]:
    port = free_port()
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        status, text = ask(f"/?port={port}")
    return status, text.replace(str(port), str(DOCUMENTED_PORT))


def one_too_many(service: ServiceFactory) -> tuple[int, str]:
    """While one request waits for a service that hangs."""
    upstream = service(stay_silent)
    application = PortProxy(
        hostapp.app,
        authorizer=lambda request, target: True,
        head_timeout=8.0,
        max_requests_per_port=1,
    )
    path = f"/?port={upstream.port}"
    with ThreadPoolExecutor(1) as pool, contextlib.closing(application):
        hanging = pool.submit(get, application, path)
        until(lambda: upstream.heads, "it hangs")
        status, text = get(application, path)
        assert hanging.result()[0] == 504
    return status, text.replace(str(upstream.port), str(DOCUMENTED_PORT))


def to_login(request: Request, target: Target) -> WSGIApplication:
    found: WSGIApplication = HTTPFound(location="/login")
    return found


def upper_case(_: ServiceFactory) -> tuple[int, str]:
    settings = {"host": "{port}--{name}.ports.example.com", "isolate": True, "mount": "/{name}"}
    return ask(f"/Alice/?port={DOCUMENTED_PORT}", settings=settings)


NO_ACCESS = "You do not have access to port 15000 here."
ISOLATED = "Services are opened at host names of their own here."

#: For each row of the table, by its first text or all of them: how it comes about.
ERRORS: dict[tuple[int | str, ...], Callable[[ServiceFactory], tuple[int, str]]] = {
    (403, NO_ACCESS, NO_SESSION): lambda _: at_host(authorizer=lambda request, target: False),
    (403, NO_ACCESS, SIGN_IN_AGAIN): lambda _: at_host(authorizer=to_login, cookie="sessionid=old"),
    (403, ISOLATED, "This one's is 15000.ports.example.com."): lambda _: ask(
        settings={"host": "{port}.ports.example.com", "isolate": True}
    ),
    (403, ISOLATED, "This project's name cannot stand in a host name."): upper_case,
    (
        502,
        "Failed to connect to service on port 15000.",
        "A service listens on [::1]:15000 only, the IPv6 loopback. Start it on 127.0.0.1: most take"
        " --host 127.0.0.1.",
    ): on_ipv6_only,
    (503, "Too many requests to the service on port 15000 are under way."): one_too_many,
    (413, "The request's body is larger than the 1000000 bytes allowed here."): lambda _: ask(
        settings={"max_request_body": 1_000_000}, **environ(CONTENT_LENGTH="1000001")
    ),
    (500, "This application's settings for port 15000 do not work."): lambda service: ask_of(
        service, stay_silent, settings={"identity": fails}
    ),
    (502, "Failed to connect to service on port 15000."): not_running,
    (403, "Port 5000 is outside allowed range (10000-20000)"): lambda _: ask("/?port=5000"),
    (400, "Invalid port parameter: abc"): lambda _: ask("/?port=abc"),
    (400, "Invalid port parameter: 15000, 15001"): lambda _: ask("/?port=15000&port=15001"),
    (403, "You do not have access to port 15000 here."): lambda _: ask(
        authorizer=lambda request, target: False
    ),
    (403, "This request was made by a page of another site."): lambda _: ask(
        method="POST", headers={"Origin": "https://elsewhere.example"}
    ),
    (403, "A service worker can only be used at the port's own path."): lambda _: ask(
        headers={"Service-Worker": "script"}
    ),
    (404, "There is no such page."): lambda _: ask("/%2e%2e/x?port=15000"),
    (405, "TRACE is not forwarded to a service."): lambda _: ask(method="TRACE"),
    (501, "This server cannot hand over a connection, so WebSockets do not work."): lambda _: (
        handshake(environ={"werkzeug.socket": None})
    ),
    (501, "WebSockets need HTTP/1.1 here."): lambda _: handshake(
        environ={"SERVER_PROTOCOL": "HTTP/2"}
    ),
    (503, "There are too many open WebSockets to open another one to port 15000."): lambda _: (
        handshake({"max_tunnels": 0})
    ),
    (403, "A WebSocket handshake needs an Origin here."): lambda _: handshake(
        {"tunnels_require_origin": True}
    ),
    (426, "Only version 13 of the WebSocket protocol is supported."): lambda _: handshake(
        Sec_WebSocket_Version="12"
    ),
    (400, "A WebSocket handshake is a GET request."): lambda _: handshake(
        environ={"REQUEST_METHOD": "POST"}
    ),
    (400, "The Sec-WebSocket-Key is not 16 bytes in base64."): lambda _: handshake(
        Sec_WebSocket_Key="short"
    ),
    (502, "The service on port 15000 did not answer with valid HTTP."): lambda service: ask_of(
        service, answers(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    ),
    (502, "The service on port 15000 closed the connection without an answer."): lambda service: (
        ask_of(service, hang_up)
    ),
    (504, "The service on port 15000 did not answer in time."): lambda service: ask_of(
        service, stay_silent, settings={"head_timeout": 0.1}
    ),
    (508, "Port 15000 is the one that this application itself listens on."): lambda _: ask(
        base_url="http://localhost:15000"
    ),
    (508, "The service on port 15000 sends requests back to this application."): own_via,
    (503, "Access to this port could not be checked."): lambda _: ask(authorizer=raises),
    (500, "Access to this port could not be checked."): lambda _: ask(
        authorizer=lambda request, target: "yes"
    ),
    (503, "No connection to the service on port 15000 could be opened just now."): (
        without_descriptors
    ),
    (411, "This server takes no chunked request bodies."): lambda _: ask(
        **environ(HTTP_TRANSFER_ENCODING="chunked")
    ),
    (501, "This Transfer-Encoding is not supported."): lambda _: ask(
        **environ(HTTP_TRANSFER_ENCODING="gzip")
    ),
    (400, "The Content-Length is not a number."): lambda _: ask(**environ(CONTENT_LENGTH="1x")),
    (400, "The request target is not a path."): lambda _: ask(**environ(PATH_INFO="*")),
    (400, "The request holds a character that no header may hold."): lambda service: ask_of(
        service, stay_silent, **environ(HTTP_X_NOTE="a\nb")
    ),
    (400, "The request ended before its body was complete."): lambda service: ask_of(
        service,
        stay_silent,
        **environ(CONTENT_LENGTH="10", **{"wsgi.input": io.BytesIO(b"cut off")}),
    ),
}

ERROR_ROWS = [(int(status), CODE.findall(text)) for status, text, *_ in table("## Error messages")]


@pytest.mark.parametrize(
    ("status", "texts"), ERROR_ROWS, ids=[f"{status} {texts[0]}" for status, texts in ERROR_ROWS]
)
def test_the_error_texts_are_those_of_the_code(
    status: int, texts: list[str], service: ServiceFactory
) -> None:
    come_about = ERRORS.get((status, *texts)) or ERRORS[status, texts[0]]
    assert come_about(service) == (status, "".join(f"{text}\n" for text in texts))


def error_classes() -> list[type[PortProxyError]]:
    classes = PortProxyError.__subclasses__()
    for error in classes:
        classes += error.__subclasses__()
    return classes


def messages_in_the_code() -> Iterator[str]:
    """A pattern for each message that the package gives to one of its errors."""
    takes_one = {
        error.__name__
        for error in error_classes()
        if next(iter(inspect.signature(error).parameters)) == "message"
    }
    for path in (ROOT / "wsgi_portproxy").rglob("*.py"):
        callees = takes_one | ({"super().__init__"} if path.name == "errors.py" else set())
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and call.args):
                continue
            message = call.args[0]
            parts = message.values if isinstance(message, ast.JoinedStr) else [message]
            if ast.unparse(call.func) in callees and isinstance(
                message, ast.Constant | ast.JoinedStr
            ):
                yield "".join(
                    re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*"
                    for part in parts
                )


def test_every_error_is_in_the_table() -> None:
    documented = [texts[0] for _, texts in ERROR_ROWS]
    patterns = list(messages_in_the_code())
    assert len(patterns) > 20
    for pattern in patterns:
        assert any(re.fullmatch(pattern, text) for text in documented), pattern
    assert {status for status, _ in ERROR_ROWS} == {error.status for error in error_classes()}
    rows = {(status, *texts) for status, texts in ERROR_ROWS}
    assert {row if row in ERRORS else row[:2] for row in rows} == set(ERRORS)


# --- The rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "documented",
    [
        "tensorboard --logdir=./logs --port=16006 --bind_all",
        "jupyter notebook --port=15888 --ip=127.0.0.1 --no-browser",
        "python3 -m http.server 15000",
        "mlflow ui --port=15555 --host=127.0.0.1",
        "app.run(host='127.0.0.1', port=15000)",
        "uvicorn main:app --host 127.0.0.1 --port 15000",
        "streamlit run app.py --server.port=15600",
    ],
)
def test_the_services_are_started_by_the_documented_commands(documented: str) -> None:
    assert f"{documented}\n" in [*blocks("sh"), *blocks("python")]


def test_the_table_of_services_is_the_one_that_the_browser_tests_write() -> None:
    measured = (ROOT / "docs" / "services" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[.*$", measured, re.MULTILINE)
    assert len(rows) > 8
    for row in rows:
        assert re.sub(r"\]\((\S+\.md)\)", r"](docs/services/\1)", row) in README.splitlines()
    assert len(table("## Starting your service")) == len(rows)


def slug(heading: str) -> str:
    """The anchor that renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = FENCE.sub("", (ROOT / document).read_text("utf-8"))
    links = [link for link in LINK.findall(text) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = ROOT / (path or document)
        assert target.exists(), link
        if anchor:
            headings = HEADING.findall(FENCE.sub("", target.read_text("utf-8")))
            assert anchor in map(slug, headings), link


def test_every_section_is_in_the_contents() -> None:
    contents, _, rest = README.partition("\n## What works,")
    sections = re.findall(r"^## (.+)$", FENCE.sub("", f"\n## What works,{rest}"), re.MULTILINE)
    listed = [link.removeprefix("#") for link in LINK.findall(contents) if link.startswith("#")]
    assert [link for link in listed if link in map(slug, sections)] == [*map(slug, sections)]


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert versions[0][0] == wsgi_portproxy.__version__
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in versions)


def test_the_mechanisms_behind_the_promises_are_modules() -> None:
    promises = (ROOT / "SECURITY.md").read_text("utf-8")
    mechanisms = re.findall(r"\((`[\w/]+`(?:,\s+`[\w/]+`)*)\)", promises)
    assert len(mechanisms) > 8
    for name in CODE.findall(" ".join(mechanisms)):
        assert (ROOT / "wsgi_portproxy" / f"{name}.py").exists(), name


def test_the_folders_of_tests_are_there() -> None:
    folders = re.findall(r"^\| `(tests/\S+)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    assert len(folders) > 5
    assert [folder for folder in folders if not (ROOT / folder).exists()] == []
    there = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert there <= set(folders)


# --- What was measured ---------------------------------------------------------------------------

PEERS = json.loads((ROOT / "benchmarks" / "results" / "peers.json").read_text())


def measured(name: str) -> float:
    (row,) = [row for row in PEERS["rows"] if row["name"] == name]
    return float(row["value"])


@pytest.mark.parametrize("cells", table("## How fast it is"), ids=lambda cells: cells[0])
def test_the_speeds_are_those_of_the_saved_measurement(cells: list[str]) -> None:
    name, *shown = cells
    saved = PEERS["contestants"][name.removesuffix(", unbuffered")]
    columns = {"req/s": "", "added CPU us": " us", "MB/s down": " MB/s", "MB/s up": " MB/s"}
    assert shown == [
        "-" if saved[column] is None else f"{saved[column]:,.0f}{unit}"
        for column, unit in columns.items()
    ]


def test_what_is_said_beside_the_speeds_is_true() -> None:
    text = " ".join(README.partition("## How fast it is")[2].partition("\n## ")[0].split())
    limit = PEERS["contestants"]["raw socket"]["added CPU us"]
    not_ours = max(measured(f"not for us: added to an app's request ({one})") for one in KINDS)
    asked = max(measured(f"AskApp, verdict known: added to a lambda's ({one})") for one in KINDS)
    grown = max(measured(f"memory over 10 GiB {way}, at its peak") for way in ("down", "up"))
    for phrase in (
        f"reads its answer adds {limit:.0f} us",
        f"names no port costs it {math.ceil(not_ours)} us more",
        f"when it remembers the verdict, {math.ceil(asked)} us",
        f"{measured('1 event stream: p99 later by'):.1f} ms later than straight",
        f"the first byte of a small answer {measured('first byte: p50 later by'):.1f} ms",
        f"memory grows by {math.ceil(grown)} MiB at most",
    ):
        assert phrase in text
    missed = any(row["reached"] is False for row in PEERS["rows"])
    assert ("with the goals that were missed" in text) == missed


def test_the_chart_is_of_the_same_measurement() -> None:
    chart = (ROOT / "docs" / "images" / "benchmark.svg").read_text("utf-8")
    ours = PEERS["contestants"]["wsgi_portproxy"]
    assert f"{ours['added CPU us']:,.0f} µs" in chart
    assert f"{ours['MB/s down']:,.0f} MB/s" in chart
