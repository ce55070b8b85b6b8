"""The authorizer's contract: whatever is not a plain yes sends nothing to a service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, Mock

import pytest
from webob import Request, Response
from webob.exc import HTTPForbidden, HTTPFound
from werkzeug.wrappers import Response as WerkzeugResponse

from wsgi_portproxy.authorize import authorize
from wsgi_portproxy.captured import CapturedResponse
from wsgi_portproxy.errors import AuthorizerFailed, AuthorizerMisused, Refused
from wsgi_portproxy.locate import Target

from .given import COOKIES, a_target, environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def judged(verdict: Any, *, target: Target | None = None, **fields: Any) -> CapturedResponse | None:
    return authorize(
        lambda request, target: verdict, environ(**fields), target or a_target(), COOKIES
    )


def sent(refusal: CapturedResponse | None, **fields: Any) -> tuple[str, dict[str, str], bytes]:
    """What the visitor gets: status line, fields, body."""
    assert refusal is not None
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, dict(headers)))
        return started.append

    blocks = refusal(environ(**fields), start_response)
    body = b"".join(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert len(started) == 1
    return (*started[0], body)


def test_true_lets_through() -> None:
    assert judged(True) is None


def test_false_is_403() -> None:
    with pytest.raises(Refused) as caught:
        judged(False)
    assert caught.value.status == 403
    assert caught.value.message == "You do not have access to port 16006 here."


# --- Exceptions ----------------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password of the database"),
        KeyError("username"),
        HTTPForbidden(),  # webob's are raised in Pyramid; here they are to be returned
        PermissionError(),
        StopIteration(),
        TimeoutError(),
        Unprintable(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_raising_is_503(error: Exception) -> None:
    def authorizer(request: Request, target: Target) -> bool:
        raise error

    with pytest.raises(AuthorizerFailed) as caught:
        authorize(authorizer, environ(), a_target(), COOKIES)
    assert caught.value.status == 503
    assert caught.value.__cause__ is error
    assert "password" not in caught.value.message + caught.value.hint
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
    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        raise AssertionError("a class is not called")


class User:
    def is_allowed(self) -> bool:
        return True


MISUSES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "one": lambda: 1,
    "zero": lambda: 0,
    "yes": lambda: "yes",
    "no": lambda: "no",
    "empty": lambda: "",
    "bytes": lambda: b"403 Forbidden",
    "tuple": lambda: ("Forbidden", 403),
    "list": lambda: [True],
    "dict": lambda: {"allowed": True},
    "set": set,
    "object": object,
    "not-implemented": lambda: NotImplemented,
    "mock": Mock,
    "mock-that-says-true": lambda: Mock(return_value=True),
    "mock-of-a-response": lambda: Mock(spec=Response),
    "magic-mock": MagicMock,
    "magic-mock-with-items": lambda: MagicMock(return_value=[b"x"]),
    "class": lambda: HTTPForbidden,
    "class-that-is-an-application": lambda: ApplicationClass,
    "exception": lambda: RuntimeError("no"),
    "coroutine": a_coroutine,
    "coroutine-function": lambda: a_coroutine,
    "generator": a_generator,
    "generator-function": lambda: a_generator,
    "method-not-called": lambda: User().is_allowed,
    "function-of-two": lambda: lambda user, project: True,
    "function-that-returns-none": lambda: lambda environ, start_response: None,
    "function-that-returns-text": lambda: lambda environ, start_response: ["x"],
    "builtin": lambda: print,
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
@pytest.mark.parametrize("websocket", [False, True], ids=["http", "websocket"])
def test_anything_else_is_500(misuse: Callable[[], Any], websocket: bool) -> None:
    with pytest.raises(AuthorizerMisused) as caught:
        judged(misuse(), target=a_target(websocket=websocket))
    assert caught.value.status == 500
    assert "not True, False or a WSGI app" in caught.value.detail
    assert caught.value.message == "Access to this port could not be checked."


def _starting(status: Any, *, headers: Any = ()) -> Any:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(headers))
        return [b"x"]

    return application


@pytest.mark.parametrize("status", ["", "Forbidden", "4O3 Forbidden", 403, None, b"403 Forbidden"])
def test_an_application_without_a_status_is_none(status: Any) -> None:
    with pytest.raises(AuthorizerMisused):
        judged(_starting(status))


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
    return [b"yours"]


REFUSALS: dict[str, Any] = {
    "webob": Response(b"not yours", "403 Forbidden", [("X-From", "app")]),
    "webob-exc": HTTPForbidden(body=b"not yours", headers=[("X-From", "app")]),
    "werkzeug": WerkzeugResponse("not yours", "403 Forbidden", {"X-From": "app"}),
    "generator": _with_generator,
    "write": _with_write,
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_an_application_is_the_refusal_to_send(refusal: Any) -> None:
    status, fields, body = sent(judged(refusal))
    assert status.lower() == "403 forbidden"
    assert fields["X-From"] == "app"
    assert body == b"not yours"


def test_a_login_redirect_goes_out_with_its_cookies() -> None:
    login = HTTPFound(location="http://app.test/login?next=%2F")
    login.set_cookie("next", "1")
    status, fields, _ = sent(judged(login))
    assert status == "302 Found"
    assert fields["Location"] == "http://app.test/login?next=%2F"
    assert fields["Set-Cookie"].startswith("next=1;")


def test_to_a_head_request_a_refusal_has_no_body() -> None:
    """Several servers send what they are given."""
    for refusal in (_with_generator, _with_write):
        assert sent(judged(refusal, method="HEAD"), method="HEAD")[2] == b""


def test_a_websocket_cannot_follow_a_redirect() -> None:
    closed = []
    login = WerkzeugResponse("sign in", 302, {"Location": "/login"})
    login.call_on_close(lambda: closed.append(True))
    with pytest.raises(Refused) as caught:
        judged(login, target=a_target(websocket=True))
    assert caught.value.status == 403
    assert closed == [True]


def test_the_refusal_is_closed_once() -> None:
    closed = []
    refusal = WerkzeugResponse(iter([b"a", b"b"]), 403)
    refusal.call_on_close(lambda: closed.append(True))
    assert sent(judged(refusal))[2] == b"ab"
    assert closed == [True]


# --- What an authorizer is given -----------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X"]
)
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


BODIES = {
    "form": ("application/x-www-form-urlencoded", b"a=1&port=2"),
    "multipart": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
    ),
    "json": ("application/json", b'{"a": 1}'),
    "text": ("text/plain", b"a"),
}


@pytest.mark.parametrize(("content_type", "body"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_body_is_not_to_be_seen_and_stays_for_the_service(
    content_type: str, body: bytes, chunked: bool
) -> None:
    given = environ(method="POST", body=body, CONTENT_TYPE=content_type)
    if chunked:
        del given["CONTENT_LENGTH"]
        given["HTTP_TRANSFER_ENCODING"] = "chunked"

    def authorizer(request: Request, target: Target) -> bool:
        assert request.body == b""
        assert list(request.POST.items()) == []
        assert dict(request.params) == {"port": "16006"}
        assert request.environ["wsgi.input"].read() == b""
        assert request.environ["wsgi.input_terminated"] is True
        assert "Transfer-Encoding" not in request.headers
        request.environ["wsgi.input"].close()
        return True

    before = dict(given)
    assert authorize(authorizer, given, a_target(), COOKIES) is None
    assert given == before
    assert given["wsgi.input"].read() == body


def test_what_an_authorizer_changes_in_the_environ_stays_with_it() -> None:
    def authorizer(request: Request, target: Target) -> bool:
        request.environ["REMOTE_USER"] = "root"
        request.environ["PATH_INFO"] = "/bob/secret"
        del request.environ["QUERY_STRING"]
        request.headers["X-Forwarded-User"] = "root"
        return True

    given = environ()
    before = dict(given)
    authorize(authorizer, given, a_target(), COOKIES)
    assert given == before


def test_what_the_refusal_does_to_the_environ_stays_with_it() -> None:
    def refusal(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        made.clear()
        start_response("403 Forbidden", [])
        return []

    given = environ()
    before = dict(given)
    assert authorize(lambda request, target: refusal, given, a_target(), COOKIES) is not None
    assert given == before
