"""Django's session and user in place, and its ways to refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import Client
from werkzeug.test import TestResponse as Answer

from tests.conftest import ServiceFactory
from tests.contrib.conftest import Echo, as_set, setting_cookies
from tests.contrib.djangosetup import AUTH, SESSION, set_up
from tests.support.client import without_copies
from tests.support.received import Received, recording
from tests.support.servers import ROOT
from wsgi_portproxy import PortProxy, Target, url_for_port
from wsgi_portproxy.contrib.django import authorizer

set_up()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.exceptions import ImproperlyConfigured, PermissionDenied  # noqa: E402
from django.core.handlers.wsgi import WSGIRequest  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import (  # noqa: E402
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import redirect  # noqa: E402
from django.template.response import SimpleTemplateResponse  # noqa: E402
from django.test import Client as DjangoClient  # noqa: E402
from django.test import override_settings  # noqa: E402

from tests.contrib.djangosite import CountingMiddleware  # noqa: E402

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOUNT = "/{username}/{project}"
COMMON = "django.middleware.common.CommonMiddleware"
Check = Callable[[HttpRequest, Target], Any]


@pytest.fixture(scope="module")
def alice() -> User:
    user: User = get_user_model().objects.create_user("alice")
    connection.close()
    return user


@pytest.fixture
def ask(echo: Echo) -> Iterator[Callable[..., Answer]]:
    """`ask(check)`: the answer to a request for the service, behind `check`."""
    proxies: list[PortProxy] = []

    def request(
        check: Check, cookie: str = "", method: str = "GET", script_name: str = "", **kwargs: Any
    ) -> Answer:
        proxy = PortProxy(get_wsgi_application(), authorizer=authorizer(check), mount=MOUNT)
        proxies.append(proxy)
        client = Client(proxy, use_cookies=False)
        url = f"/alice/vision/x?port={echo.port}"
        base_url = f"http://localhost{script_name}/"
        headers = {"Cookie": cookie}
        return client.open(url, base_url=base_url, method=method, headers=headers, **kwargs)

    yield request
    for proxy in proxies:
        proxy.close()


def session_of(user: User, cookie: str = "sessionid") -> str:
    """The Cookie header of a browser in which `user` has signed in."""
    browser = DjangoClient()
    browser.force_login(user)
    connection.close()
    return f"{cookie}={browser.cookies[cookie].value}"


def same_user(request: HttpRequest, target: Target) -> bool:
    return request.user.get_username() == target.params["username"]


# --- Who it is -----------------------------------------------------------------------------------


def test_the_user_is_the_one_that_signed_in(ask: Callable[..., Answer], alice: User) -> None:
    sessions: list[dict[str, Any]] = []

    def check(request: HttpRequest, target: Target) -> bool:
        sessions.append(dict(request.session.items()))
        return same_user(request, target)

    assert ask(check, session_of(alice)).text == "hi"
    assert ask(check).status_code == 403
    assert ask(check, "sessionid=forged").status_code == 403
    assert [session.get("_auth_user_id") for session in sessions] == [str(alice.pk), None, None]


def test_the_request_is_the_visitors_without_its_body(
    ask: Callable[..., Answer], echo: Echo
) -> None:
    requests: list[HttpRequest] = []

    def check(request: HttpRequest, target: Target) -> bool:
        assert request.body == b""
        assert (dict(request.POST), dict(request.FILES)) == ({}, {})
        requests.append(request)
        return True

    files = {"file": (__file__, "x.txt"), "a": "1"}
    assert ask(check, method="POST", data={"a": "1"}).status_code == 200
    assert ask(check, method="POST", data=files).status_code == 200
    assert ask(check, method="POST", json={"a": 1}).status_code == 200
    assert [request.method for request in requests] == ["POST"] * 3
    assert requests[0].path_info == "/alice/vision/x"
    assert requests[0].GET["port"] == str(echo.port)
    assert b"test_django" in echo.received[1].body
    assert echo.received[2].body == b'{"a": 1}'


# --- Refusals ------------------------------------------------------------------------------------


def _raising(error: BaseException) -> Check:
    def check(request: HttpRequest, target: Target) -> bool:
        raise error

    return check


REFUSALS: dict[str, tuple[Check, int]] = {
    "false": (lambda request, target: False, 403),
    "permission-denied": (_raising(PermissionDenied("secret")), 403),
    "not-found": (_raising(Http404("secret")), 404),
    "response": (lambda request, target: HttpResponse("pay first", status=402), 402),
    "redirect": (lambda request, target: redirect("login"), 302),
    "template": (lambda request, target: SimpleTemplateResponse("secret.html"), 503),
    "none": (lambda request, target: None, 500),
    "user": (lambda request, target: request.user, 500),
    "method-not-called": (lambda request, target: request.user.get_username, 500),
    "raises": (_raising(RuntimeError("secret")), 503),
    "does-not-exist": (_raising(get_user_model().DoesNotExist("secret")), 503),
}


@pytest.mark.parametrize(("check", "status"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_sends_nothing_to_the_service(
    ask: Callable[..., Answer], echo: Echo, check: Check, status: int
) -> None:
    projects: list[str] = []

    def counted(request: HttpRequest, target: Target) -> Any:
        projects.append(target.params["project"])
        return check(request, target)

    methods = ("GET", "HEAD", "POST")
    for method in methods:
        answer = ask(counted, method=method)
        assert answer.status_code == status
        assert "secret" not in answer.text
        assert (answer.text == "") is (method == "HEAD" or status == 302)
    assert projects == ["vision"] * len(methods), "called once for each"
    assert echo.service.connections == 0


def test_a_responses_cookies_go_out(ask: Callable[..., Answer]) -> None:
    def check(request: HttpRequest, target: Target) -> HttpResponse:
        response = HttpResponseRedirect("/login/?next=/alice/vision/")
        response.set_cookie("next", "1", path="/login/")
        response.delete_cookie("sessionid")
        return response

    answer = ask(check)
    assert answer.location == "/login/?next=/alice/vision/"
    cookies = answer.headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["next", "sessionid"]


def test_a_streamed_response_and_one_from_a_template_go_out(ask: Callable[..., Answer]) -> None:
    assert (
        ask(lambda *_: StreamingHttpResponse([b"not ", b"yours"], status=403)).text == "not yours"
    )

    def check(request: HttpRequest, target: Target) -> SimpleTemplateResponse:
        from django.template import engines

        template = engines["django"].from_string("not {{ whose }}")
        return SimpleTemplateResponse(template, {"whose": "<yours>"}, status=403)

    assert ask(check).text == "not &lt;yours&gt;"


def test_reversed_addresses_have_the_script_name(ask: Callable[..., Answer]) -> None:
    def check(request: HttpRequest, target: Target) -> HttpResponse:
        return redirect("login")

    assert ask(check, script_name="/apps/one").location == "/apps/one/login/"
    assert ask(check).location == "/login/"


# --- Cookies -------------------------------------------------------------------------------------


def test_the_sites_own_cookies_are_withheld_and_cannot_be_set(
    service: ServiceFactory, alice: User
) -> None:
    own = {"SESSION_COOKIE_NAME": "site_session", "CSRF_COOKIE_NAME": "site_csrf"}
    names = [*own.values(), "SITE_SESSION", "ok"]
    seen: list[Received] = []
    upstream = service(recording(seen, setting_cookies(*names)))
    with override_settings(**own):
        session = session_of(alice, "site_session")
        proxy = PortProxy(get_wsgi_application(), authorizer=authorizer(same_user), mount=MOUNT)
        client = Client(proxy, use_cookies=False)
        cookie = f"a=1; {session}; site_csrf=S; messages=S; b=2; csrftoken=S"
        url = f"/alice/vision/proxy/{upstream.port}/"
        answer = client.get(url, headers={"Cookie": cookie})
    proxy.close()
    assert seen[0].values("Cookie") == ["a=1; b=2"]
    set_cookies = without_copies(answer.headers.getlist("Set-Cookie"))
    assert set_cookies == as_set(upstream.port, url, *names)


# --- Middlewares ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("middlewares", "missing"),
    [
        ([COMMON, AUTH], "SessionMiddleware"),
        ([COMMON, SESSION], "AuthenticationMiddleware"),
    ],
    ids=["no-session", "no-auth"],
)
def test_without_its_middlewares_it_says_which(middlewares: list[str], missing: str) -> None:
    with (
        override_settings(MIDDLEWARE=middlewares),
        pytest.raises(ImproperlyConfigured, match=missing),
    ):
        authorizer(same_user)


def test_a_projects_own_session_middleware_is_used(ask: Callable[..., Answer]) -> None:
    mine = "tests.contrib.djangosite.PrivateSessionMiddleware"
    with override_settings(MIDDLEWARE=[mine, AUTH]):
        answer = ask(lambda request, target: request.session.get("seen_by_subclass", False))
    assert answer.status_code == 200


def test_a_middleware_that_answers_itself_has_refused(
    ask: Callable[..., Answer], echo: Echo
) -> None:
    mine = "tests.contrib.djangosite.NotOnSundaysMiddleware"
    with override_settings(MIDDLEWARE=[SESSION, mine]):
        answer = ask(_raising(AssertionError("the check was called all the same")))
    assert (answer.status_code, answer.text) == (451, "closed")
    assert echo.service.connections == 0


def test_no_other_middleware_runs(ask: Callable[..., Answer], alice: User) -> None:
    module = "tests.contrib.djangosite"
    others = [f"{module}.CountingMiddleware", f"{module}.function_middleware"]
    before = CountingMiddleware.calls
    with override_settings(MIDDLEWARE=[*others, SESSION, AUTH]):
        assert ask(same_user, session_of(alice)).status_code == 200
    assert CountingMiddleware.calls == before


def test_the_session_is_for_reading(ask: Callable[..., Answer], alice: User) -> None:
    cookie = session_of(alice)

    def change(request: HttpRequest, target: Target) -> bool:
        request.session["x"] = 1
        return True

    answer = ask(change, cookie)
    assert "Set-Cookie" not in answer.headers
    assert ask(lambda request, target: "x" not in request.session, cookie).status_code == 200


# --- The database and the order of imports -------------------------------------------------------


@pytest.mark.parametrize("outcome", [True, False, "raise", "response"], ids=str)
def test_no_database_connection_stays_open(
    ask: Callable[..., Answer], alice: User, outcome: Any
) -> None:
    used: list[bool] = []

    def check(request: HttpRequest, target: Target) -> Any:
        used.append(request.user.is_authenticated and connection.connection is not None)
        if outcome == "raise":
            raise RuntimeError
        return HttpResponse(status=403) if outcome == "response" else outcome

    ask(check, session_of(alice))
    assert used == [True]
    assert connection.connection is None


def test_a_connection_that_may_live_longer_does(ask: Callable[..., Answer]) -> None:
    before = connection.settings_dict["CONN_MAX_AGE"]
    connection.settings_dict["CONN_MAX_AGE"] = 60
    try:
        assert ask(lambda *_: get_user_model().objects.count() >= 0).status_code == 200
        assert connection.connection is not None
    finally:
        connection.settings_dict["CONN_MAX_AGE"] = before
        connection.close()


WSGI_PY = """
from django.core.wsgi import get_wsgi_application
from wsgi_portproxy import PortProxy
from wsgi_portproxy.contrib.django import authorizer  # among the imports at the top
from django.apps import apps
assert not apps.ready
from tests.contrib.conftest import Echo, as_set, setting_cookies
from tests.contrib.djangosetup import set_up
set_up(folder={folder!r})
application = PortProxy(
    get_wsgi_application(), authorizer=authorizer(lambda request, target: request.user.is_staff)
)
from werkzeug.test import Client
assert Client(application).get("/?port=16006").status_code == 403
assert Client(application).get("/login/").text == "page for AnonymousUser"
"""


def test_it_may_be_imported_before_django_is_set_up(tmp_path: Any) -> None:
    code = WSGI_PY.format(folder=str(tmp_path))
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_view_makes_links_to_ports_of_its_request() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [url_for_port(WSGIRequest(environ), 16006).encode()]

    proxy = PortProxy(app, authorizer=lambda request, target: True, mount=MOUNT)
    answer = Client(proxy).get("/alice/vision/link")
    assert answer.text == "/alice/vision/proxy/16006/"
    answer.close()
