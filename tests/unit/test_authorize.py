"""The authorizer's contract: whatever is not a plain yes sends nothing to a service."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, Mock

import pytest
from webob import Request, Response
from webob.exc import HTTPForbidden
from werkzeug.wrappers import Response as WerkzeugResponse

from wsgi_portproxy.errors import AuthorizerFailed, AuthorizerMisused, Refused
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.policy.authorize import Allowed, AuthorizerFacts, Verdict, authorize, facts_of
from wsgi_portproxy.subrequest import CapturedResponse

from .given import COOKIES, a_target, environ, table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@pytest.mark.parametrize("names", [(), None, "ab", 7, ..., {"b"}, ["b"]], ids=str)
def test_an_authorizer_may_name_cookies_but_not_by_chance(names: object) -> None:
    """Any callable may be an authorizer, a mock that has every attribute too."""
    authorizer = Mock(withhold_cookies=names)
    expected = ("b",) if isinstance(names, (set, list)) else ()
    assert facts_of(authorizer) == AuthorizerFacts(expected, (), frozenset())


def judged(verdict: Any, *, websocket: bool = False, **fields: Any) -> CapturedResponse | None:
    target = a_target(websocket=websocket)
    return authorize(lambda request, target: verdict, environ(**fields), target, COOKIES).refusal


def sent(refusal: CapturedResponse | None, **fields: Any) -> tuple[str, dict[str, str], bytes]:
    """What the visitor gets: status line, fields, body."""
    assert refusal is not None
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, dict(headers)))

    blocks = refusal(environ(**fields), start_response)
    body = b"".join(blocks)
    blocks.close()  # type: ignore[attr-defined]
    [(status, headers)] = started
    return status, headers, body


def test_true_lets_through() -> None:
    assert judged(True) is None


def test_a_verdict_may_name_the_visitor() -> None:
    verdict = authorize(lambda request, target: Allowed("42"), environ(), a_target(), COOKIES)
    assert verdict == Verdict(None, "42")
    assert authorize(lambda request, target: True, environ(), a_target(), COOKIES).visitor == ""


def test_false_is_403() -> None:
    with pytest.raises(Refused) as caught:
        judged(False)
    assert (caught.value.status, caught.value.hint) == (403, "")
    assert caught.value.message == "You do not have access to port 16006 here."


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    "error",
    # webob's are raised in Pyramid; here they are to be returned
    [RuntimeError("password of the database"), HTTPForbidden(), StopIteration(), Unprintable()],
    ids=lambda error: type(error).__name__,
)
def test_raising_is_503(error: Exception) -> None:
    def authorizer(request: Request, target: Target) -> bool:
        raise error

    with pytest.raises(AuthorizerFailed) as caught:
        authorize(authorizer, environ(), a_target(), COOKIES)
    assert caught.value.status == 503
    assert caught.value.__cause__ is error
    assert "password" not in caught.value.message + caught.value.hint + caught.value.detail
    assert dict(caught.value.headers)["Retry-After"]


def test_what_stops_a_worker_is_not_swallowed() -> None:
    def authorizer(request: Request, target: Target) -> bool:
        raise SystemExit

    with pytest.raises(SystemExit):
        authorize(authorizer, environ(), a_target(), COOKIES)


# --- Neither yes nor no nor an application -------------------------------------------------------


async def a_coroutine() -> bool:
    return True


def a_generator() -> Iterator[bool]:
    yield True


class ApplicationClass:
    """It would work, but is more likely to be a mistake."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        start_response("403 Forbidden", [])

    def __iter__(self) -> Iterator[bytes]:
        yield b"not yours"

    def is_allowed(self) -> bool:
        return True


def starting(status: Any) -> Any:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [])
        return [b"x"]

    return application


MISUSES: list[Any] = [
    *(None, 1, 0, "yes", ("Forbidden", 403), NotImplemented, RuntimeError("no")),
    *(HTTPForbidden, ApplicationClass),
    *(Mock(), MagicMock(), MagicMock(return_value=[b"x"])),
    # Called as applications they give no answer.
    *(a_coroutine, a_generator, a_generator(), ApplicationClass.is_allowed, print),
    *(lambda user, project: True, lambda environ, start_response: ["x"]),
    *map(starting, ["", "4O3 Forbidden", 403, b"403 Forbidden"]),
]


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("websocket", [False, True], ids=["http", "websocket"])
def test_anything_else_is_500(misuse: Any, websocket: bool) -> None:
    with pytest.raises(AuthorizerMisused) as caught:
        judged(misuse, websocket=websocket)
    assert caught.value.status == 500
    assert "not True, False, Allowed or a WSGI app" in caught.value.detail
    assert caught.value.message == "Access to this port could not be checked."


def test_a_coroutine_is_closed() -> None:
    """The warning that nobody awaited it would be less clear."""
    coroutine = a_coroutine()
    with pytest.raises(AuthorizerMisused):
        judged(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_an_application_that_raises_is_none() -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError("/srv/app/secret.py")

    with pytest.raises(AuthorizerMisused) as caught:
        judged(application)
    assert isinstance(caught.value.__cause__, LookupError)
    assert "secret" not in caught.value.message + caught.value.hint + caught.value.detail


# --- Refusals ------------------------------------------------------------------------------------


def _with_generator(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("403 Forbidden", [("X-From", "app")])
    yield b"not "
    yield b"yours"


def _with_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("403 Forbidden", [("X-From", "app")])
    write(b"not ")
    environ.clear()  # which is a copy
    return [b"yours"]


REFUSALS: dict[str, Any] = {
    "webob": Response(b"not yours", "403 Forbidden", [("X-From", "app")]),
    "werkzeug": WerkzeugResponse("not yours", "403 Forbidden", {"X-From": "app"}),
    "generator": _with_generator,
    "write": _with_write,
}


@table("refusal", REFUSALS)
def test_an_application_is_the_refusal_to_send(refusal: Any) -> None:
    given = environ()
    before = dict(given)
    answer = authorize(lambda request, target: refusal, given, a_target(), COOKIES).refusal
    assert given == before
    status, fields, body = sent(answer)
    assert status.lower() == "403 forbidden"
    assert (fields["X-From"], body) == ("app", b"not yours")
    # Several servers send what they are given.
    assert sent(judged(refusal, method="HEAD"), method="HEAD")[2] == b""


@pytest.mark.parametrize("websocket", [False, True])
def test_the_refusal_is_closed_once_and_no_websocket_follows_a_redirect(websocket: bool) -> None:
    closed = []
    login = WerkzeugResponse(iter([b"a", b"b"]), 302, {"Location": "/login?next=%2F"})
    login.set_cookie("next", "1")
    login.call_on_close(lambda: closed.append(True))
    if websocket:
        with pytest.raises(Refused):
            judged(login, websocket=True)
    else:
        status, fields, body = sent(judged(login))
        assert (status.lower(), body) == ("302 found", b"ab")
        assert fields["Location"].endswith("/login?next=%2F")
        assert fields["Set-Cookie"].startswith("next=1;")
    assert closed == [True]


# --- What an authorizer is given -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "X"])
@pytest.mark.parametrize("verdict", [True, False, None], ids=["yes", "no", "misuse"])
def test_it_is_called_exactly_once_with_request_and_target(method: str, verdict: Any) -> None:
    calls: list[tuple[Request, Target]] = []

    def authorizer(request: Request, target: Target) -> Any:
        calls.append((request, target))
        return verdict

    target = a_target()
    with contextlib.suppress(Refused, AuthorizerMisused):
        authorize(authorizer, environ(method=method, HTTP_COOKIE="user=alice"), target, COOKIES)
    [(request, given)] = calls
    assert given is target
    assert (request.method, request.cookies["user"], request.host) == (method, "alice", "app.test")


FORM = ("application/x-www-form-urlencoded", b"a=1&port=2")
PARTS = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'


@table("content_type, body", {"form": FORM, "parts": ("multipart/form-data; boundary=x", PARTS)})
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_body_is_not_to_be_seen_and_stays_for_the_service(
    content_type: str, body: bytes, chunked: bool
) -> None:
    given = environ(method="POST", body=body, CONTENT_TYPE=content_type)
    if chunked:
        del given["CONTENT_LENGTH"]
        given |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": False}

    def authorizer(request: Request, target: Target) -> bool:
        assert (request.body, request.content_length) == (b"", 0)
        assert list(request.POST.items()) == []
        assert dict(request.params) == {"port": "16006"}
        assert request.environ["wsgi.input"].read() == b""
        assert request.environ["wsgi.input_terminated"] is True
        assert "Transfer-Encoding" not in request.headers
        request.environ["wsgi.input"].close()
        return True

    before = dict(given)
    assert authorize(authorizer, given, a_target(), COOKIES).refusal is None
    assert given == before
    assert given["wsgi.input"].read() == body


def test_what_an_authorizer_changes_in_the_environ_stays_with_it() -> None:
    def authorizer(request: Request, target: Target) -> bool:
        request.environ["REMOTE_USER"] = "root"
        del request.environ["QUERY_STRING"]
        request.headers["X-Forwarded-User"] = "root"
        return True

    given = environ()
    before = dict(given)
    authorize(authorizer, given, a_target(), COOKIES)
    assert given == before
