"""Every example keeps the same promises: its ports open to whom its project pages open."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.servers import ROOT
from tests.support.visitor import Visitor
from tests.support.waiting import until

from .conftest import EXAMPLES, Service, gunicorn


@dataclass(frozen=True)
class Example:
    folder: str
    app: str
    login: str
    session_cookie: str


PLAIN = Example("plain", "app:application", "/login", "session")
FLASK = Example("flask_app", "app:app", "/login", "session")
DJANGO = Example("django_project", "workbench.wsgi:application", "/login/", "workbench_session")


class Site:
    """An example that runs."""

    def __init__(self, url: str, example: Example) -> None:
        self.url = url
        self.example = example
        self._signed_in: dict[str, Visitor] = {}

    def anonymous(self) -> Visitor:
        return Visitor(self.url)

    def signed_in(self, user: str) -> Visitor:
        """Always the same: a login takes a while, as it should."""
        if user not in self._signed_in:
            visitor = self.anonymous()
            assert sign_in(visitor, self.example.login, user) == "/"
            self._signed_in[user] = visitor
        return self._signed_in[user]


def sign_in(visitor: Visitor, login: str, user: str) -> str:
    """Where the login sends the visitor."""
    answer = visitor.submit(login, {"username": user, "password": f"{user}-demo"})
    assert answer.status in (302, 303)
    return answer.location


@contextlib.contextmanager
def running_site(example: Example, folder: Path) -> Iterator[Site]:
    env = {
        "SECRET_KEY": "for the tests only",
        "WORKBENCH_DATA": str(folder),
        "WORKBENCH_HOSTS": "127.0.0.1,app.test",  # the second by the look whether it answers
    }
    path = EXAMPLES / example.folder
    if example is DJANGO:
        for arguments in (["migrate", "--verbosity=0"], ["seed"]):
            subprocess.run(
                [sys.executable, "manage.py", *arguments],
                cwd=path,
                env={**os.environ, **env},
                check=True,
            )
    with gunicorn(path, example.app, env) as url:
        yield Site(url, example)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Example], Site]]:
    """Each example is started once, by the first test that asks for it."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(example: Example) -> Site:
            folder = tmp_path_factory.mktemp(example.folder)
            return stack.enter_context(running_site(example, folder))

        yield start


@pytest.fixture(params=[PLAIN, FLASK, DJANGO], ids=lambda example: example.folder)
def site(request: pytest.FixtureRequest, sites: Callable[[Example], Site]) -> Site:
    return sites(request.param)


@pytest.fixture
def django_site(sites: Callable[[Example], Site]) -> Site:
    return sites(DJANGO)


def test_who_may_view_the_project_may_use_its_ports(site: Site, service: Service) -> None:
    for user in ("alice", "carol"):  # the owner, and a viewer
        visitor = site.signed_in(user)
        assert site.example.session_cookie in {cookie.name for cookie in visitor.cookies}
        answer = visitor.get(f"/alice/vision/?port={service.port}")
        assert (answer.status, answer.text) == (200, f"service on {service.port}: GET /")
    body = b"a=1&b=%2B"
    answer = visitor.send("POST", f"/alice/vision/proxy/{service.port}/api", body)
    assert (answer.status, service.received[-1].body) == (200, body)
    for received in service.received:
        assert site.example.session_cookie not in "".join(received.values("Cookie"))


def test_a_foreign_user_gets_404_and_nothing_reaches_the_service(
    site: Site, service: Service
) -> None:
    bob = site.signed_in("bob")
    for path in (f"?port={service.port}", f"proxy/{service.port}/", ""):
        assert bob.get(f"/alice/vision/{path}").status == 404
    assert service.received == []


def test_an_anonymous_visitor_signs_in_and_is_back_at_the_port(
    site: Site, service: Service
) -> None:
    visitor = site.anonymous()
    refused = visitor.get(f"/alice/vision/?port={service.port}&x=1")
    assert refused.status in (302, 303)
    assert refused.location.startswith(site.example.login + "?next=")
    assert service.received == []

    back = sign_in(visitor, refused.location, "alice")
    assert visitor.get(back).text == f"service on {service.port}: GET /?x=1"


def test_a_browser_is_sent_to_the_path_form_and_stays_there(site: Site, service: Service) -> None:
    alice = site.signed_in("alice")
    moved = alice.get(f"/alice/vision/?port={service.port}", {"Sec-Fetch-Mode": "navigate"})
    assert (moved.status, moved.location) == (307, f"/alice/vision/proxy/{service.port}/")
    answer = alice.get(f"{moved.location}static/app.js?v=2", {"Sec-Fetch-Mode": "no-cors"})
    assert answer.text == f"service on {service.port}: GET /static/app.js?v=2"


def test_the_project_page_offers_to_open_a_port_and_the_errors_are_named(site: Site) -> None:
    assert 'name="port"' in site.signed_in("carol").get("/alice/vision/").text
    port = free_port()
    for number, status, text in (
        (port, 502, f"Failed to connect to service on port {port}."),
        (5000, 403, "Port 5000 is outside allowed range (10000-20000)"),
    ):
        answer = site.signed_in("alice").get(f"/alice/vision/?port={number}")
        assert (answer.status, text in answer.text) == (status, True)


def test_streams_run_side_by_side_and_leave_threads_for_others(
    site: Site, service: Service
) -> None:
    alice = site.signed_in("alice")
    path = f"/alice/vision/proxy/{service.port}/held"
    with ThreadPoolExecutor(8) as pool:
        streams = [pool.submit(alice.get, path) for _ in range(8)]
        try:
            until(lambda: len(service.received) == len(streams), "all streams are open")
            assert alice.get("/alice/vision/").status == 200
            assert not any(stream.done() for stream in streams)
        finally:
            service.release.set()
        assert [stream.result().status for stream in streams] == [200] * len(streams)


def test_a_wrong_password_does_not_sign_in(site: Site) -> None:
    visitor = site.anonymous()
    answer = visitor.submit(site.example.login, {"username": "alice", "password": "wrong"})
    assert "not right" in answer.text
    assert visitor.get("/alice/vision/").status in (302, 303)


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example/", "/%5Cevil.example/", "https://evil.example/"]
)
def test_the_login_sends_nobody_to_another_site(site: Site, elsewhere: str) -> None:
    assert sign_in(site.anonymous(), f"{site.example.login}?next={elsewhere}", "alice") == "/"


@pytest.mark.parametrize("example", [PLAIN, FLASK], ids=lambda example: example.folder)
def test_without_a_secret_key_it_does_not_start_and_says_so(example: Example) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import app"],
        cwd=EXAMPLES / example.folder,
        env={**os.environ, "SECRET_KEY": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Set SECRET_KEY" in done.stderr


def test_the_plain_example_works_with_ask_app_as_well(tmp_path: Path, service: Service) -> None:
    (tmp_path / "asking.py").write_text(
        "from app import app\n"
        "from wsgi_portproxy import AskApp, PortProxy\n"
        "ask = AskApp(app, '/{username}/{project}/')\n"
        "application = PortProxy(app, authorizer=ask, mount='/{username}/{project}')\n"
    )
    env = {"SECRET_KEY": "for the tests only", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    with gunicorn(EXAMPLES / "plain", "asking:application", env) as url:
        site, path = Site(url, PLAIN), f"/alice/vision/?port={service.port}"
        assert site.signed_in("carol").get(path).text == f"service on {service.port}: GET /"
        assert site.signed_in("bob").get(path).status == 404
        assert site.anonymous().get(path).location.startswith("/login?next=")
    assert len(service.received) == 1


# --- The Django project has more to it -----------------------------------------------------------


def test_signing_out_closes_the_ports(django_site: Site, service: Service) -> None:
    alice = django_site.anonymous()
    sign_in(alice, DJANGO.login, "alice")
    assert alice.get(f"/alice/vision/?port={service.port}").status == 200
    alice.submit("/logout/", {}, page="/")
    assert alice.get(f"/alice/vision/?port={service.port}").status == 302


def test_the_start_page_lists_what_the_visitor_may_view(django_site: Site) -> None:
    listed = {user: django_site.signed_in(user).get("/").text for user in ("alice", "bob", "carol")}
    assert ["alice/vision" in listed[user] for user in listed] == [True, False, True]
    assert ["bob/audio" in listed[user] for user in listed] == [False, True, False]
    assert all("alice/handbook" in text for text in listed.values())


def test_a_public_project_opens_its_ports_to_everybody_who_is_signed_in(
    django_site: Site, service: Service
) -> None:
    path = f"/alice/handbook/?port={service.port}"
    assert django_site.signed_in("bob").get(path).status == 200
    assert django_site.anonymous().get(path).status == 302


def test_a_reserved_port_opens_from_its_own_project_only(
    django_site: Site, service: Service
) -> None:
    alice, bob = django_site.signed_in("alice"), django_site.signed_in("bob")
    assert bob.get(f"/bob/audio/?port={service.port}").status == 200

    reserve = {"number": str(service.port), "label": "My service"}
    assert alice.submit("/alice/vision/ports/", reserve, page="/alice/vision/").status == 302
    assert f"?port={service.port}" in alice.get("/alice/vision/").text
    refused = bob.get(f"/bob/audio/?port={service.port}")
    assert refused.status == 403
    assert f"Port {service.port} belongs to another project" in refused.text
    assert "<form" not in refused.text, "made without the CSRF middleware: it could not be sent"
    assert alice.get(f"/alice/vision/?port={service.port}").status == 200

    again = bob.submit("/bob/audio/ports/", reserve, page="/bob/audio/")
    assert (again.status, "reserved already" in again.text) == (422, True)
    release = f"/alice/vision/ports/{service.port}/release/"
    assert alice.submit(release, {}, page="/alice/vision/").status == 302
    assert bob.get(f"/bob/audio/?port={service.port}").status == 200


def test_only_the_owner_reserves_and_releases_ports(django_site: Site) -> None:
    carol = django_site.signed_in("carol")
    for path in ("/alice/vision/ports/", "/alice/vision/ports/16006/release/"):
        answer = carol.submit(path, {"number": "12345"}, page="/")
        assert answer.status == 403
        assert "Only the owner may do this" in answer.text


def test_a_form_of_another_site_is_refused(django_site: Site) -> None:
    alice = django_site.signed_in("alice")
    answer = alice.send("POST", "/alice/vision/ports/", b"number=12345")
    assert answer.status == 403
    assert "12345" not in alice.get("/alice/vision/").text


def test_the_secret_key_is_made_once_and_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / "django_project")
    from workbench import secret_key

    path = tmp_path / "data" / "secret-key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(secret_key.load_or_create, [path] * 8))
    assert len(set(keys)) == 1
    assert len(keys[0]) > 50
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path], "no drafts are left behind"
