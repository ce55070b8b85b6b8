"""What visitors share behind the check: the way back to the app itself, and the server's time."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask
from tests.support.procfs import cpu_seconds, worker_of
from tests.support.received import OK, Received, recording
from tests.support.servers import Server
from tests.support.service import Exchange, Service
from tests.support.websocket import handshake

from .conftest import Noted, running_host

QUERY, PATH = "/alice/vision{}?port={}", "/alice/vision/proxy/{1}{0}"
FORMS = pytest.mark.parametrize("form", [QUERY, PATH], ids=["query", "path"])
PAGES = ["/login", "/", "/alice/vision/", "/no/such/page"]

# --- The app is nobody's service -----------------------------------------------------------------


def assert_a_loop(noted: Noted, target: str, port: int) -> None:
    """The app does not answer itself, and its authorizer is asked by the visitor only."""
    for method, body in [("GET", b""), ("POST", b"x=1"), ("HEAD", b"")]:
        reply = ask(noted.port, method, target, body=body)
        assert reply.status == 508
        assert "the app: " not in reply.text
        assert noted.calls() == [f"{method} {port} alice/vision"]
    with Client(noted.port) as client:
        client.send(handshake(target))
        assert client.reply().status in (502, 508)
    assert noted.calls() == [f"GET {port} alice/vision"]


@pytest.mark.promise("Your app is not opened as a service")
@pytest.mark.case("the app as a service, by another port")
@FORMS
@pytest.mark.parametrize("page", PAGES)
def test_another_port_of_the_server_itself_is_no_service(
    noted: Noted, second_port: int, form: str, page: str
) -> None:
    """It tells us of one of its ports only."""
    assert_a_loop(noted, form.format(page, second_port), second_port)


@pytest.mark.promise("Your app is not opened as a service")
@pytest.mark.case("the app as a service, by another port")
def test_nor_is_it_for_one_who_came_by_that(noted: Noted, second_port: int) -> None:
    reply = ask(second_port, "GET", PATH.format("/login", noted.port))
    assert (reply.status, noted.calls()) == (508, [f"GET {noted.port} alice/vision"])


FrontEnd = Callable[[Noted], Service]


@pytest.fixture
def front_end(service: ServiceFactory) -> FrontEnd:
    """The way to start what passes all on to the app, as a front-end on a port of its own does."""

    def start(noted: Noted) -> Service:
        def passes_on(exchange: Exchange) -> None:
            exchange.read_head()
            with socket.create_connection(("127.0.0.1", noted.port), timeout=10) as app:
                app.sendall(exchange.requests[-1] + exchange.buffer)
                app.shutdown(socket.SHUT_WR)
                while data := app.recv(65536):
                    exchange.send(data)

        return service(passes_on)

    return start


@pytest.mark.promise("Your app is not opened as a service")
@pytest.mark.case("the app as a service, by another port")
@FORMS
@pytest.mark.parametrize("page", PAGES)
def test_the_port_of_a_front_end_is_no_service(
    noted: Noted, front_end: FrontEnd, form: str, page: str
) -> None:
    port = front_end(noted).port
    assert_a_loop(noted, form.format(page, port), port)


def test_another_app_like_this_one_is_a_service_as_any(noted: Noted, whole: Server) -> None:
    for page in ("/login", "/alice/vision/"):
        reply = ask(noted.port, "GET", PATH.format(page, whole.port))
        assert (reply.status, reply.text) == (200, f"the app: {page}?\n")


def test_the_name_of_another_proxy_is_no_loop(noted: Noted, service: ServiceFactory) -> None:
    seen: list[Received] = []
    target = PATH.format("/x", service(recording(seen)).port)
    vias = ["1.1 portproxy-0123456789ab", "1.1 portproxy-", "1.0 fred, 1.1 p.example.net"]
    for via in vias:
        assert ask(noted.port, "GET", target, headers=[("Via", via)]).status == 200
    ours = seen[0].values("Via")[0].removeprefix(f"{vias[0]}, ")
    assert [request.values("Via") for request in seen] == [[f"{via}, {ours}"] for via in vias]
    for page in (target, "/login"):  # whoever sends it, and however
        for via in (ours, f"1.1 x, {ours}", f"{ours} (comment), 1.1 x"):
            assert ask(noted.port, "GET", page, headers=[("Via", via)]).status == 508


# --- Who may not learns nothing ------------------------------------------------------------------


@pytest.mark.case("our own port, for those who may know it")
@FORMS
def test_which_ports_are_the_servers_own_is_told_to_those_who_may_use_ports(
    asking: Noted, form: str
) -> None:
    """The app is asked first, and says what it says of any other port."""
    target = form.format("/x", asking.port)
    anonymous = ask(asking.port, "GET", target, cookie="")
    assert (anonymous.status, anonymous.value("Location")) == (302, "/login")
    assert ask(asking.port, "GET", target, cookie="user=bob").status == 403
    assert ask(asking.port, "GET", target).status == 508


# --- What an anonymous visitor may cost ----------------------------------------------------------


@pytest.fixture
def patient_with_heads() -> Iterator[Server]:
    """A host that takes fields of nearly any length."""
    options = ("--limit-request-field_size", "1000000")
    with running_host("tests.hostile.hosts:noted", *options) as server:
        yield server


@pytest.mark.case("a long Accept")
def test_a_long_accept_costs_no_more_than_any_long_field(
    patient_with_heads: Server, service: ServiceFactory
) -> None:
    """Receiving it is the server's; to read it whole took five times as long. Each is another."""
    host, numbers = patient_with_heads, itertools.count()
    target = QUERY.format("/x", service(recording([])).port)
    ranges = ",".join(f"a{n}/b;q=0.{n % 9}" for n in range(60_000))[:800_000]

    def cost(name: str) -> float:
        """Processor time of some refusals with such a field."""
        before = cpu_seconds(worker_of(host))
        for _ in range(8):
            headers = [(name, f"text/html,a/{next(numbers)},{ranges}")]
            reply = ask(host.port, "GET", target, headers=headers, cookie="")
            assert reply.status == 403
            page = reply.value("Content-Type") or ""
            assert page.startswith("text/html" if name == "Accept" else "text/plain")
        return cpu_seconds(worker_of(host)) - before

    cost("X-Other")  # for what is done once only
    assert cost("Accept") < 2 * cost("X-Other")


def test_an_accept_counts_by_its_beginning(noted: Noted, service: ServiceFactory) -> None:
    target = QUERY.format("/x", service(recording([], OK)).port)
    rest = ",a/b" * 4000
    for beginning, expected in [("text/html", "text/html"), ("application/json", "application/")]:
        headers = [("Accept", f"{beginning}{rest},text/plain")]
        reply = ask(noted.port, "GET", target, headers=headers, cookie="")
        assert reply.status == 403
        assert (reply.value("Content-Type") or "").startswith(expected)
