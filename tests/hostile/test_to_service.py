"""What must not reach a service: the app's cookies, and a visitor's claims about himself."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.received import OK, Received, recording
from tests.support.service import answers
from tests.support.websocket import STANDARD

from .conftest import Noted, running_host

FORMS = ("/alice/vision/x?port={}", "/alice/vision/proxy/{}/x")

# --- Cookies: unit/test_cookies has all other ways to write one -----------------------------------

S = "sessionid=SECRET"
# The Cookie lines of a request, and what arrives. All are alice's, who has the first cookie.
COOKIES = {
    "plain": ([f"user=alice; a=1; {S}; b=2"], "user=alice; a=1; b=2"),
    "quoted-around": ([f'user=alice; a="x; {S}; b=y"'], 'user=alice; a="x; b=y"'),
    "in-two-lines": (["user=alice; a=1", f"{S}; b=2"], "user=alice; a=1; b=2"),
    # gunicorn joins lines with a comma: what follows may be the rest of the secret one.
    "in-many-lines": (["user=alice", "a=1", S, "b=2", f"c=3; d=4; {S}"], "user=alice,a=1; d=4"),
    "a-comma-in-it": (["user=alice; session=uid=5,mac=SECRET; b=2"], "user=alice; b=2"),
    "a-space-in-it": (["user=alice; session=user=bob sig=SECRET; b=2"], "user=alice; b=2"),
    "odd-case": (["user=alice; SessionID=SECRET; CSRFTOKEN=SECRET; b=2"], "user=alice; b=2"),
    "nbsp": (["user=alice; \xa0sessionid\xa0=SECRET; b=2"], "user=alice; b=2"),
    "prefixes": (["user=alice; __Host-sessionid=SECRET; __Secure-session=SECRET"], "user=alice"),
    "all-other-bytes": (
        [f'user=alice; a="b\\"c"; {S}; d={{"e":[1,2]}}; f=%3B=; g=\xe4;h=;;i; sessionid2=1'],
        'user=alice; a="b\\"c"; d={"e":[1,2]}; f=%3B=; g=\xe4;h=;;i; sessionid2=1',
    ),
    "60-kib": (["user=alice; sessionid=" + "SECRET" * 10000 + "; z=1"], "user=alice; z=1"),
}


@pytest.mark.case("what follows a withheld cookie")
@pytest.mark.case("withheld cookies")
@pytest.mark.promise("Your app's cookies stay here")
@pytest.mark.parametrize(("lines", "arrives"), COOKIES.values(), ids=COOKIES)
def test_the_apps_cookies_never_arrive_and_the_others_byte_for_byte(
    noted: Noted, service: ServiceFactory, lines: list[str], arrives: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen, OK.replace(b"200 OK", b"404 Not Found")))
    cookies = [("Cookie", line) for line in lines]
    for form in FORMS:
        for headers in (cookies, [*STANDARD.items(), *cookies]):
            target = form.format(upstream.port)
            assert ask(noted.port, "GET", target, cookie="", headers=headers).status == 404
    assert [request.values("Cookie") for request in seen] == [[arrives]] * 4
    assert all(b"SECRET" not in head for head in upstream.heads)


def test_fields_that_are_called_nearly_so_are_the_visitors_own(
    noted: Noted, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    target = f"/alice/vision/?port={service(recording(seen)).port}"
    headers = [(name, "x=1") for name in ("Cookie_", "Cookie.", "X-Cookie", "Cookie2", "_Cookie")]
    assert ask(noted.port, "GET", target, headers=headers).status == 200
    assert seen[0].values("Cookie") == ["user=alice"]


# --- Claims: unit/test_headers_to_service has all names -------------------------------------------

CLAIMS = [
    *("X-Forwarded-For", "X-Forwarded-User", "Forwarded", "X-Real-IP", "CF-Connecting-IP"),
    *("X-Remote-User", "Remote-User", "X-SSL-Client-CN", "X-Original-URL", "X-Script-Name"),
    *("X-HTTP-Method-Override", "Proxy-Authorization", "X-Portproxy-Port"),
    *("Kubeflow-Userid", "X-WEBAUTH-USER", "X-Consumer-Username", "X-Userinfo", "OIDC-CLAIM-sub"),
    *("X-Vouch-User", "RStudio-Connect-Credentials", "Impersonate-User", "X-Authelia-User"),
    *("X-Envoy-Internal", "WL-Proxy-Client-IP", "Teleport-Jwt-Assertion", "X-Accel-Mapping"),
    "X-Sendfile-Type",
]


def aliases(name: str) -> list[str]:
    """Names that reach a CGI-like service as the same variable."""
    mixed = name.replace("-", "_", 1)
    spellings = [name, name.replace("-", "_"), mixed, name.replace("-", "."), name.lower()]
    return list(dict.fromkeys([*spellings, name.upper().replace("-", "_")]))


@pytest.mark.case("identity fields")
@pytest.mark.promise("Identity and routing headers come from us only")
@pytest.mark.parametrize("name", CLAIMS)
def test_a_visitors_claim_is_dropped_under_every_alias(
    noted: Noted, service: ServiceFactory, name: str
) -> None:
    seen: list[Received] = []
    target = f"/alice/vision/proxy/{service(recording(seen)).port}/x"
    assert ask(noted.port, "GET", target).status == 200
    for alias in aliases(name):
        headers = [(alias, "6.6.6.6"), ("X-Kept", "1"), (alias, "root")]
        assert ask(noted.port, "GET", target, headers=headers).status == 200
    plain, *rest = seen
    assert len(rest) == len(aliases(name))
    for request in rest:
        assert [field for field in request.fields if field != ("X-Kept", "1")] == plain.fields


@pytest.mark.promise("Identity and routing headers come from us only")
def test_all_claims_at_once_leave_exactly_our_values(noted: Noted, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [(alias, "6.6.6.6") for name in CLAIMS for alias in aliases(name)]
    target = f"/alice/vision/?port={upstream.port}"
    for begin in range(0, len(headers), 90):  # gunicorn takes 100
        some = headers[begin : begin + 90]
        assert ask(noted.port, "GET", target, headers=some).status == 200
        assert dict(seen[-1].fields) == {
            "Host": f"localhost:{upstream.port}",
            "Cookie": "user=alice",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Prefix": "/alice/vision",
            "Via": seen[0].values("Via")[0],
        }
    assert all(b"6.6.6.6" not in head for head in upstream.heads)


def test_a_field_with_a_line_end_is_none(noted: Noted, service: ServiceFactory) -> None:
    """What servers do not refuse themselves arrives in one field, or not at all."""
    seen: list[Received] = []
    upstream = service(recording(seen))
    target = f"/alice/vision/?port={upstream.port}"
    for value in ("a\rX-Evil: 1", "a\x00b", "a\x0bb", "a\x85b"):
        reply = ask(noted.port, "GET", target, headers=[("X-A", value)])
        assert reply.status in (200, 400)
    assert all("x-evil" not in request.names for request in seen)
    assert len(upstream.heads) == len(seen)


# --- The machine's settings ----------------------------------------------------------------------


@pytest.mark.case("proxy settings of the machine")
@pytest.mark.promise("Only allowed ports, only 127.0.0.1")
def test_proxies_and_passwords_of_the_machine_have_no_effect(
    service: ServiceFactory, tmp_path: Path
) -> None:
    trap = service(answers(OK))
    seen: list[Received] = []
    upstream = service(recording(seen))
    password = base64.b64encode(b"root:secret").decode()
    machines = ["localhost", "127.0.0.1", f"localhost:{upstream.port}"]
    netrc = "".join(f"machine {name} login root password secret\n" for name in machines)
    (tmp_path / ".netrc").write_text(netrc + "default login root password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    names = ["http_proxy", "https_proxy", "all_proxy", "ftp_proxy"]
    proxy = f"http://root:secret@127.0.0.1:{trap.port}"
    env = {spelling: proxy for name in names for spelling in (name, name.upper())}
    env.update(NO_PROXY="", no_proxy="", HOME=str(tmp_path), NETRC=str(tmp_path / ".netrc"))
    with running_host("tests.hostile.hosts:noted", env=env) as host:
        for form in FORMS:
            assert ask(host.port, "GET", form.format(upstream.port)).status == 200
            body = ask(host.port, "POST", form.format(upstream.port), body=b"x").body
            assert body == b"hi"
    assert trap.connections == 0
    assert len(seen) == 4
    for request in seen:
        assert request.target == "/x"
        assert not {"authorization", "proxy-authorization"} & request.names
    assert all(password.encode() not in head for head in upstream.heads)
