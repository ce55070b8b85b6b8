"""The service's own sources in a Content-Security-Policy, as the visitor's browser sees them."""

from __future__ import annotations

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.rewrite.csp import csp_to_visitor
from wsgi_portproxy.rewrite.urls import UrlMapper

from .given import a_target, a_view, costs_little

A = "https://app.test"
P = "/alice/vision/proxy/16006"
PATH = a_view("/")._replace(
    visited=address_of(A),
    others=lambda port: f"{A}/alice/vision/proxy/15000" if port == 15000 else None,
)
HOST = PATH._replace(
    target=a_target("/", prefix="", form="host"),
    visited=address_of("https://16006.p.test"),
    others=lambda port: "https://15000.p.test" if port == 15000 else None,
)
PLAIN = PATH._replace(visited=address_of("http://app.test"))

DIRECTIVES = [
    *("default-src", "script-src", "script-src-elem", "style-src", "img-src", "connect-src"),
    *("font-src", "frame-src", "worker-src", "media-src", "form-action", "base-uri"),
    *("frame-ancestors", "manifest-src", "object-src", "child-src"),
]


def mapped(urls: UrlMapper, policy: str) -> str:
    made = csp_to_visitor(urls, policy)
    assert csp_to_visitor(urls, made) == made
    return made


def test_a_path_with_the_prefix_already_comes_once() -> None:
    assert mapped(PATH, f"script-src http://localhost:16006{P}/x") == f"script-src {A}{P}/x"
    told = PATH._replace(told=PATH.visited, base=P)
    assert mapped(told, f"script-src {A}{P}/static/ 'self'") == f"script-src {A}{P}/static/ 'self'"
    assert mapped(told, f"script-src {A}{P}") == f"script-src {A}{P}"


def test_a_comma_in_the_prefix_divides_no_policies() -> None:
    view = PATH._replace(target=a_target("/", prefix="/a,b/proxy/16006"))
    assert mapped(view, "img-src http://localhost:16006/i/ 'self'; object-src 'none'") == (
        f"img-src {A}/i/ {A}/a%2Cb/proxy/16006/i/ 'self'; object-src 'none'"
    )


@pytest.mark.case("own sources of a Content-Security-Policy")
@pytest.mark.parametrize("directive", DIRECTIVES)
def test_in_every_directive(directive: str) -> None:
    policy = f"{directive} 'self' http://localhost:16006 'nonce-x'"
    assert mapped(PATH, policy) == f"{directive} 'self' {A} 'nonce-x'"
    assert mapped(HOST, policy) == f"{directive} 'self' https://16006.p.test 'nonce-x'"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("http://127.0.0.1:16006", A),
        ("https://localhost:16006", A),
        ("localhost:16006", "app.test"),
        ("localhost", "app.test"),
        ("http://localhost:*", A),
        ("ws://localhost:*", "wss://app.test"),
        ("ws://localhost:16006", "wss://app.test"),
        ("wss://localhost:16006", "wss://app.test"),
        ("http://localhost:8080", A),
        ("http://localhost:16006/", f"{A}/"),
        # AppOrService requests have no prefix, until they are sent there.
        ("http://localhost:16006/static/", f"{A}/static/ {A}{P}/static/"),
        ("http://localhost:15000", A),
        ("http://[::1]:16006", A),
        *((one, one) for one in ("'self'", "data:", "*", "https:", "example.com", "*.example.com")),
        *(
            (one, one)
            for one in ("https://example.com/x", "'sha256-abc='", "http://10.0.0.1:16006")
        ),
    ],
)
def test_a_source(source: str, shown: str) -> None:
    assert mapped(PATH, f"img-src {source}") == f"img-src {shown}"


def test_on_plain_http() -> None:
    assert mapped(PLAIN, "connect-src ws://localhost:16006 http://localhost:16006") == (
        "connect-src ws://app.test http://app.test"
    )


def test_another_service_at_its_host_name() -> None:
    assert mapped(HOST, "frame-src http://localhost:15000/x") == "frame-src https://15000.p.test/x"


@pytest.mark.parametrize(
    "policy",
    [
        *("sandbox allow-scripts", "trusted-types localhost:16006", "report-to localhost:16006"),
        *(
            "",
            ";",
            " ; ;",
            "default-src",
            "default-src  'self' ;; img-src *",
            "upgrade-insecure-requests",
        ),
    ],
)
def test_what_names_no_own_source_stays_byte_for_byte(policy: str) -> None:
    assert mapped(PATH, policy) == policy


def test_of_several_policies_each_is_looked_at() -> None:
    policy = "default-src 'self'; img-src  http://localhost:16006, script-src localhost:16006 ; x"
    assert mapped(PATH, policy) == (f"default-src 'self'; img-src {A}, script-src app.test; x")


def test_reports_go_to_the_service() -> None:
    assert mapped(PATH, "report-uri /csp http://localhost:16006/r https://r.example/") == (
        f"report-uri {P}/csp {A}{P}/r https://r.example/"
    )


def test_what_comes_twice_is_said_once() -> None:
    assert (
        mapped(PATH, f"img-src {A} http://localhost:16006 http://127.0.0.1:16006") == f"img-src {A}"
    )


@pytest.mark.parametrize(
    "piece", ["a ", ";", ",", " ", "http://localhost:16006/x ", "localhost:", "-"]
)
def test_a_hostile_policy_costs_as_much_as_its_size(piece: str) -> None:
    with costs_little():
        csp_to_visitor(PATH, "img-src " + piece * (65536 // len(piece)))
