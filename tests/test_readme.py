"""Runs the code in README.md, and compares what the documents state with the package.

A block of code is found by the file name in its first line, a table by the heading above it.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import math
import os
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from webob.exc import HTTPFound
from werkzeug.test import Client

import wsgi_portproxy
from tests.conftest import ServiceFactory
from tests.support import hostapp
from tests.support.chosen import settings
from tests.support.client import Client as RawClient
from tests.support.client import ask as raw_ask
from tests.support.client import request_bytes
from tests.support.ports import free_port
from tests.support.readme import FENCE, README, block, blocks
from tests.support.received import Received, recording
from tests.support.servers import ROOT, running
from tests.support.service import Exchange, Script, answers
from tests.support.visitor import Visitor
from tests.support.waiting import PATIENCE, until
from wsgi_portproxy import (
    AskApp,
    Limits,
    PortProxy,
    PortProxyError,
    Service,
    Target,
    Timeouts,
    UrlForms,
    Withhold,
)
from wsgi_portproxy.locate.target import Form

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"),
    *("docs/glossary.md", "docs/threat-model.md"),
    *(f"docs/decisions/{path.name}" for path in sorted((ROOT / "docs/decisions").glob("*.md"))),
]
DOCUMENTED_PORT = 15000  # what the README's texts and commands show

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")


# --- Reading the README --------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A line of a shell block, for this Python and its packages."""

    env: dict[str, str]
    arguments: list[str]

    def run(self, folder: Path, *more: str, **environ: str) -> None:
        env = {**os.environ, **self.env, "PYTHONPATH": str(ROOT), **environ}
        done = subprocess.run(
            [*self.arguments, *more],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def command(containing: str) -> Command:
    """The one line of all shell blocks that contains this text."""
    lines = [line for code in blocks("sh") for line in code.splitlines() if containing in line]
    (words,) = map(shlex.split, lines)
    env = {}
    while "=" in words[0]:
        name, _, env[name] = words.pop(0).partition("=")
    programs = {"python3": [sys.executable], "gunicorn": [sys.executable, "-m", "gunicorn"]}
    return Command(env, [*programs[words[0]], *words[1:]])


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, with its header and without the rule below that."""
    found = [rows.splitlines() for rows in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:1] + lines[2:]]
        for lines in found
    ]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its header."""
    _, found, after = README.partition(f"\n{heading}\n")
    assert found, heading
    return tables(after)[0][1:]


def test_every_block_of_python_compiles() -> None:
    for code in blocks("python"):
        compile(code, "README.md", "exec")


# --- The quick starts ----------------------------------------------------------------------------


@contextlib.contextmanager
def served(folder: Path, app: str) -> Iterator[Visitor]:
    """A visitor of gunicorn as the README starts it, in `folder`."""
    start = command(f"gunicorn --threads 32 {app}")
    port = free_port()
    address = ["--bind", f"127.0.0.1:{port}", "--chdir", str(folder)]
    arguments = [*start.arguments, *address]
    with running(arguments, port, env=start.env, seconds=3 * PATIENCE) as server:
        yield Visitor(f"http://127.0.0.1:{port}", follow=True)
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
    with served(tmp_path, "hello_wsgi:application") as visitor:
        assert visitor.get("/").text == "The app itself.\n"
        assert visitor.get(f"/alice/vision/?port={port}").status == 401
        assert visitor.get(f"/alice/vision/?port={port}", wrong).status == 401
        assert visitor.get(f"/bob/audio/?port={port}", alice).status == 401
        assert received == []
        assert visitor.get(f"/alice/vision/a?x=1&port={port}", alice).text == "hi"
        assert visitor.get(f"/alice/vision/proxy/{port}/b", alice).text == "hi"
    assert [request.target for request in received] == ["/a?x=1", "/b"]
    assert not any("authorization" in request.names for request in received)


def test_the_flask_quick_start_asks_for_a_login_and_keeps_its_session(
    tmp_path: Path, port: int, received: list[Received]
) -> None:
    # Its login leads to the port of the README's service.
    code = block("# hello_flask.py").replace(f"port={DOCUMENTED_PORT}", f"port={port}")
    (tmp_path / "hello_flask.py").write_text(code)
    with served(tmp_path, "hello_flask:app") as visitor:
        assert 'type="password"' in visitor.get(f"/alice/vision/?port={port}").text
        assert 'type="password"' in visitor.submit("/login", {"password": "wrong"}).text
        assert received == []
        assert visitor.submit("/login", {"password": "try-me"}).text == "hi"
        assert visitor.get(f"/bob/audio/?port={port}").status == 403
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
        command(line).run(tmp_path)
    with served(tmp_path, "mysite.wsgi:application") as visitor:
        path = f"/alice/vision/?port={port}&x=1"
        assert f'name="next" value="{path.replace("&", "&amp;")}"' in visitor.get(path).text
        assert received == []
        form = {"username": "alice", "password": "try-me", "next": path}
        assert visitor.submit("/admin/login/", form).text == "hi"
        assert visitor.get(f"/bob/audio/?port={port}").status == 403
    assert [request.target for request in received] == ["/?x=1"]
    assert "cookie" not in received[0].names


def names_in(first_line: str, **defined: object) -> dict[str, Any]:
    """What a block defines, which finds these names."""
    namespace: dict[str, Any] = dict(defined)
    exec(compile(block(first_line), "README.md", "exec"), namespace)  # noqa: S102
    return namespace


def get(application: WSGIApplication, path: str, **request: Any) -> tuple[int, str]:
    answer = Client(application, use_cookies=False).open(path, **request)
    try:
        return answer.status_code, answer.text
    finally:
        answer.close()


def yes(request: object, target: Target) -> bool:
    return True


def test_the_askapp_line_opens_ports_to_whom_the_page_opens(port: int) -> None:
    line = "from wsgi_portproxy import AskApp, PortProxy"
    application = names_in(line, application=hostapp.app)["application"]
    with contextlib.closing(application):
        for user, status in (("alice", 200), ("bob", 403), ("", 302)):
            headers = {"Cookie": f"user={user}"} if user else {}
            path = f"/alice/vision/?port={port}"
            assert get(application, path, headers=headers)[0] == status, user


def test_the_ports_callable_gives_each_user_ports_of_their_own() -> None:
    names = {"PortProxy": PortProxy, "app": hostapp.app, "may_open": yes}
    application = names_in('FIRST_PORT = {"alice": 10000, "bob": 10100}', **names)["application"]
    for user, own in {"alice": "10000-10099", "bob": "10100-10199"}.items():
        text = f"Port 10200 is outside allowed range ({own})\n"
        assert get(application, f"/{user}/x/?port=10200") == (403, text)
    assert get(application, "/carol/x/?port=10000")[0] == 403


def test_the_links_are_those_that_the_comments_say() -> None:
    names = names_in("# links.py")
    made: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        made.append(names["link_from_elsewhere"](environ))
        if environ["PATH_INFO"] != "/":
            made.append(names["tensorboard_link"](environ))
        start_response("200 OK", [])
        return []

    application = PortProxy(app, authorizer=yes, mount="/{username}/{project}")
    for path in ("/alice/vision/settings", "/"):
        get(application, path)
    elsewhere, here = "/alice/vision/proxy/16006/#scalars", "/alice/vision/proxy/16006/"
    assert made == [elsewhere, here, elsewhere]
    assert f"# {here}\n" in block("# links.py")


def test_the_page_adapter_the_settings_by_port_and_the_metrics_work(
    service: ServiceFactory,
) -> None:
    page = b'<html data-root="/"></html>'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    upstream = service(answers(head % len(page) + page))
    by_port, metrics = names_in("# services.py"), names_in("# metrics.py")
    application = PortProxy(
        hostapp.app,
        authorizer=yes,
        services=lambda target: replace(
            by_port["services"](target), page_adapters=names_in("# adapters.py")["page_adapters"]
        ),
        on_finished=metrics["count"],
    )
    path = f"/proxy/{upstream.port}/"
    with contextlib.closing(application):
        answer = get(application, path, headers={"Sec-Fetch-Mode": "navigate"})
        get(application, "/?port=80")
    assert answer == (200, f'<html data-root="{path}"></html>')
    assert b"\r\nHost: localhost:" in upstream.heads[0]
    target = Target(15888, "/", "/proxy/15888", {}, Form.PATH, False)
    assert by_port["services"](target) == Service(strip_prefix=False)
    other = Target(15100, "/", "", {}, Form.PATH, False)
    assert by_port["services"](other) == Service(preserve_host=True)
    assert metrics["totals"] == {("path", 200, "complete"): 1, ("query", 403, "refused"): 1}


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    (tmp_path / "hello_wsgi.py").write_text(block("# hello_wsgi.py"))
    test = block("# test_ports.py").replace("15999", str(free_port()))
    (tmp_path / "test_ports.py").write_text(test)
    # With warnings as errors. The plugins that are installed here only take time.
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    environ = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    command("pytest test_ports.py").run(tmp_path, *settings, **environ)


# --- The settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "documented"),
    [
        ("### PortProxy", PortProxy),
        *((f"#### {value.__name__}", value) for value in (Service, UrlForms, Timeouts, Limits)),
        ("#### Withhold", Withhold),
        ("### AskApp", AskApp),
    ],
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
        elif default.endswith("()`") and default != "`()`":
            assert default == f"`{type(expected).__name__}()`"
            assert expected == type(expected)()
        else:
            assert default.replace('"', "'") == f"`{expected!r}`", name


# --- The error texts -----------------------------------------------------------------------------

HOST = "{port}.ports.example.com"
ERROR_ROWS = [
    (int(status), "".join(f"{text}\n" for text in CODE.findall(texts)))
    for status, texts, *_ in table("## Error messages")
]


def ask(
    path: str = f"/?port={DOCUMENTED_PORT}",
    *,
    authorizer: Any = yes,
    method: str = "GET",
    headers: Any = None,
    environ: Any = None,
    **settings: Any,
) -> tuple[int, str]:
    with contextlib.closing(PortProxy(hostapp.app, authorizer=authorizer, **settings)) as proxy:
        return get(proxy, path, method=method, headers=headers, environ_overrides=environ or {})


def post(environ: dict[str, Any], **settings: Any) -> tuple[int, str]:
    return ask(method="POST", environ=environ, **settings)


def handshake(*, environ: Any = None, fields: Any = None, **settings: Any) -> tuple[int, str]:
    """The answer to a WebSocket handshake on a server that shows its connection."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        values = {"werkzeug.socket": ours, **(environ or {})}
        return ask(headers={**headers, **(fields or {})}, environ=values, **settings)


def at_host(cookie: str, authorizer: Callable[..., Any]) -> tuple[int, str]:
    """The answer at a port's own host name."""
    headers = {"Host": HOST.format(port=DOCUMENTED_PORT), "Cookie": cookie}
    return ask("/", authorizer=authorizer, headers=headers, urls=UrlForms(host_template=HOST))


def at_number(
    authorizer: Any = yes, *, template: str = ":{port+10000}", **environ: str
) -> tuple[int, str]:
    """The answer at a port's own number."""
    number = DOCUMENTED_PORT + 10000
    urls = UrlForms(host_template=template)
    made = {"HTTP_HOST": f"localhost:{number}", "SERVER_PORT": str(number), **environ}
    return ask("/", authorizer=authorizer, environ=made, urls=urls, mount="/{name}")


def no(request: object, target: Target) -> bool:
    return False


def raises(*args: object) -> Any:
    raise RuntimeError("for the test")


def hang_up(exchange: Exchange) -> None:
    exchange.read_head()


def stay_silent(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.peer_closed(PATIENCE)


def without_descriptors() -> tuple[int, str]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        return ask()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def one_too_many(service: ServiceFactory) -> tuple[int, str]:
    """While one request waits for a service that hangs."""
    over = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.read_head()
        over.wait(3 * PATIENCE)

    upstream = service(hang)
    path = f"/?port={upstream.port}"
    proxy = PortProxy(hostapp.app, authorizer=yes, limits=Limits(requests_per_port=1))
    with ThreadPoolExecutor(1) as pool, contextlib.closing(proxy):
        hanging = pool.submit(get, proxy, path)
        try:
            until(lambda: upstream.heads, "it hangs")
            status, text = get(proxy, path)
        finally:
            over.set()
        assert hanging.result()[0] == 502
    return status, text.replace(str(upstream.port), str(DOCUMENTED_PORT))


def errors_after_leaving(service: ServiceFactory) -> Iterator[tuple[int, str]]:
    """Those of requests that wait without a thread, on a real server."""
    upstream = service(stay_silent)
    target = f"/alice/vision/proxy/{upstream.port}/"
    port = free_port()
    arguments = ["-m", "tests.support.waitingapp", "gunicorn-gthread", str(port)]
    with (
        running([sys.executable, *arguments], port, env={"DRAIN_WAITING": "0.2"}) as server,
        contextlib.ExitStack() as stack,
    ):

        def waiting(user: str, *fields: tuple[str, str], method: str = "GET") -> RawClient:
            client = stack.enter_context(RawClient(port, timeout=PATIENCE))
            seen = len(upstream.heads)
            cookie = f"user={user}"
            client.send(request_bytes(method, target, headers=[*fields], cookie=cookie))
            until(lambda: len(upstream.heads) > seen, "it is asked")
            return client

        uploading = waiting("dora", ("Transfer-Encoding", "chunked"), method="POST")
        uploading.send(b"zz\r\n")
        revoked, forbidden = waiting("alice"), waiting("bob", *settings("asking"))
        assert raw_ask(port, "GET", "/revoke?user=alice").text == "1"
        raw_ask(port, "GET", "/forbid?user=bob")
        replies = [client.reply() for client in (uploading, revoked, forbidden)]
        last = waiting("carol")
        threading.Event().wait(0.2)  # it leaves its thread, which gunicorn waits for
        os.kill(server.pid, signal.SIGTERM)
        replies.append(last.reply())
    return ((reply.status, reply.text) for reply in replies)


def all_errors(service: ServiceFactory) -> Iterator[tuple[int, str]]:
    """Each once, as it comes about."""

    def ask_port(port: int, **request: Any) -> tuple[int, str]:
        status, text = ask(f"/?port={port}", **request)
        return status, text.replace(str(port), str(DOCUMENTED_PORT))

    def ask_of(script: Script, **request: Any) -> tuple[int, str]:
        return ask_port(service(script).port, **request)

    # The port
    yield ask("/?port=5000")
    yield ask("/?port=abc")
    yield ask("/?port=15000&port=15001")
    yield ask(method="TRACE")
    yield ask("/%2e%2e/x?port=15000")
    yield post({"PATH_INFO": "*"})
    yield ask(environ={"SERVER_PORT": str(DOCUMENTED_PORT)})
    received: list[Received] = []
    ask_of(recording(received))
    yield ask(headers={"Via": received[0].values("via")[0]})
    yield ask(headers={"Host": "elsewhere.example"}, hosts=["app.example.com"])
    yield ask(headers={"Cookie": "a" * 65537})
    # The visitor
    yield ask(authorizer=no)
    yield ask(authorizer=raises)
    yield ask(authorizer=lambda request, target: "yes")
    yield ask(method="POST", headers={"Origin": "https://elsewhere.example"})
    yield ask(headers={"Service-Worker": "script"})
    yield at_host("", no)
    yield at_host("sessionid=old", lambda request, target: HTTPFound(location="/login"))
    yield at_number(lambda request, target: bool(target.params["name"]))
    yield at_number(HTTP_HOST="localhost:8000")
    yield at_number(template="app.example.com:{port+10000}")
    yield at_number(HTTP_HOST=f"localhost:0{DOCUMENTED_PORT + 10000}")
    yield ask(urls=UrlForms(host_template=HOST, isolate=True))
    urls = UrlForms(host_template="{port}--{name}.ports.example.com", isolate=True)
    yield ask(f"/Alice/?port={DOCUMENTED_PORT}", urls=urls, mount="/{name}")
    # The request
    yield post({"CONTENT_LENGTH": "1x"})
    yield post({"CONTENT_LENGTH": "1000001"}, limits=Limits(request_body=1_000_000))
    yield post({"HTTP_TRANSFER_ENCODING": "gzip"})
    yield post({"HTTP_TRANSFER_ENCODING": "chunked"})
    cut = {"CONTENT_LENGTH": "10", "wsgi.input": io.BytesIO(b"cut off")}
    yield ask_of(stay_silent, method="POST", environ=cut)
    yield ask_of(stay_silent, environ={"HTTP_X_NOTE": "a\nb"})
    climbing = f"http://localhost/..?port={DOCUMENTED_PORT}"
    yield ask(headers={"Destination": climbing})
    # The service
    yield ask_port(free_port())
    port = free_port()
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        yield ask_port(port)
    yield ask_of(answers(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    yield ask_of(hang_up)
    to_https = b"HTTP/1.1 301 M\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n"
    yield ask_of(answers(to_https))
    yield ask_of(answers(to_https), environ={"wsgi.url_scheme": "https"})
    yield ask_of(stay_silent, timeouts=Timeouts(head=0.1))
    yield ask_of(stay_silent, services=raises)
    yield one_too_many(service)
    yield without_descriptors()
    # WebSockets
    yield handshake(environ={"werkzeug.socket": None})
    yield handshake(environ={"SERVER_PROTOCOL": "HTTP/2"})
    yield handshake(environ={"REQUEST_METHOD": "POST"})
    yield handshake(environ={"CONTENT_LENGTH": "1"})
    yield handshake(fields={"Sec-WebSocket-Version": "12"})
    yield handshake(fields={"Sec-WebSocket-Key": "short"})
    yield handshake(require_origin=True)
    yield handshake(limits=Limits(tunnels=0))
    yield from errors_after_leaving(service)


def test_the_error_texts_are_those_of_the_code(service: ServiceFactory) -> None:
    assert sorted(all_errors(service)) == sorted(ERROR_ROWS)


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
        if next(iter(inspect.signature(error).parameters), "") == "message"
    }
    for path in (ROOT / "wsgi_portproxy").rglob("*.py"):
        callees = takes_one | ({"super().__init__"} if path.name == "errors.py" else set())
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and call.args and ast.unparse(call.func) in callees:
                message = call.args[0]
                parts = message.values if isinstance(message, ast.JoinedStr) else [message]
                if isinstance(message, ast.Constant | ast.JoinedStr):
                    yield "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*"
                        for part in parts
                    )


def test_every_error_is_in_the_table() -> None:
    documented = [text.splitlines()[0] for _, text in ERROR_ROWS]
    patterns = list(messages_in_the_code())
    assert len(patterns) > 20
    for pattern in patterns:
        assert any(re.fullmatch(pattern, text) for text in documented), pattern
    assert {status for status, _ in ERROR_ROWS} == {error.status for error in error_classes()}


# --- The rest ------------------------------------------------------------------------------------


def test_the_services_are_started_by_the_documented_commands() -> None:
    for documented in (
        "tensorboard --logdir=./logs --port=16006 --bind_all",
        "jupyter notebook --port=15888 --ip=127.0.0.1 --no-browser",
        "python3 -m http.server 15000",
        "mlflow ui --port=15555 --host=127.0.0.1",
        "app.run(host='127.0.0.1', port=15000)",
        "uvicorn main:app --host 127.0.0.1 --port 15000",
        "streamlit run app.py --server.port=15600",
    ):
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
        target = (ROOT / document).parent / path if path else ROOT / document
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


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = LINK.findall((folder / "README.md").read_text("utf-8"))
    assert [path.name for path in sorted(folder.glob("0*.md"))] == [
        link for link in listed if "/" not in link
    ]


def test_the_folders_of_tests_are_there() -> None:
    folders = re.findall(r"^\| `(tests/\S+)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    assert len(folders) > 5
    assert [folder for folder in folders if not (ROOT / folder).exists()] == []
    there = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert there <= set(folders)


# --- What was measured ---------------------------------------------------------------------------

SPEEDS, GOALS = tables((ROOT / "benchmarks" / "results" / "peers.md").read_text("utf-8"))
CONTESTANTS = {name: dict(zip(SPEEDS[0][1:], cells, strict=True)) for name, *cells in SPEEDS[1:]}
FOUND = {name: (value, verdict) for name, _, _, value, verdict in GOALS[1:]}


def measured(name: str) -> float:
    return float(FOUND[name][0].partition(" ")[0])


def test_the_speeds_are_those_of_the_saved_measurement() -> None:
    columns = {"req/s": "", "added CPU us": " us", "MB/s down": " MB/s", "MB/s up": " MB/s"}
    for name, *shown in table("## How fast it is"):
        saved = CONTESTANTS[name.removesuffix(", unbuffered")]
        assert shown == [
            "-" if saved[column] == "-" else f"{saved[column]}{unit}"
            for column, unit in columns.items()
        ]
    chart = (ROOT / "docs" / "images" / "benchmark.svg").read_text("utf-8")
    ours = CONTESTANTS["wsgi_portproxy"]
    assert f"{ours['added CPU us']} µs" in chart
    assert f"{ours['MB/s down']} MB/s" in chart


def test_what_is_said_beside_the_speeds_is_true() -> None:
    text = " ".join(README.partition("## How fast it is")[2].partition("\n## ")[0].split())
    limit = float(CONTESTANTS["raw socket"]["added CPU us"])
    kinds = ("curl", "browser")
    not_ours = max(measured(f"not for us: added to an app's request ({one})") for one in kinds)
    asked = max(measured(f"AskApp, verdict known: added to a lambda's ({one})") for one in kinds)
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
    missed = any(verdict == "MISSED" for _, verdict in FOUND.values())
    assert ("with the goals that were missed" in text) == missed
