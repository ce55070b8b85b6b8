"""The host form's template, in both directions: whose name a Host is, and which name a port has."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from wsgi_portproxy.errors import NotFound
from wsgi_portproxy.hostform import HostForm, Matched

from .given import costs_little, environ

NAMES = frozenset({"username", "project"})
PLAIN = HostForm("{port}.ports.example.com", NAMES)
CARRYING = HostForm("{port}--{project}--{username}.ports.example.com", NAMES)
SHARING = HostForm("p{port}.example.com", NAMES)


def match(form: HostForm, host: str, **fields: Any) -> Matched | None:
    return form.match(environ(HTTP_HOST=host, **fields))


def link(form: HostForm, port: int = 16006, host: str = "app.test", **params: str) -> str | None:
    return form.authority(port, params, environ(HTTP_HOST=host))


# --- Templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{port}.localhost",
        "{port}.localhost:8000",
        "{port}.ports.example.com",
        "{port}-svc.example.com",
        "p{port}.example.com",
        "x-{port}-y.example.com",
        "{port}.{username}.example.com",
        "{port}--{project}--{username}.ports.example.com",
        "{username}-{port}.example.com",
    ],
)
def test_templates_that_work(template: str) -> None:
    assert "port" not in HostForm(template, NAMES).names


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("", id="empty"),
        pytest.param("ports.example.com", id="no-port"),
        pytest.param("{username}.ports.example.com", id="another-parameter-alone"),
        pytest.param("{port}", id="no-domain"),
        pytest.param("{port}.", id="only-a-dot-behind"),
        pytest.param("{port}-example", id="no-dot-behind"),
        pytest.param("ports.example.{port}", id="port-as-the-last-label"),
        pytest.param("{port}.{port}.example.com", id="port-twice"),
        pytest.param("{port}.{project}.{project}.example.com", id="parameter-twice"),
        pytest.param("{port}.{team}.example.com", id="not-a-parameter-of-the-mount"),
        pytest.param("{port}{project}.example.com", id="nothing-in-between"),
        pytest.param("{port}..example.com", id="empty-label"),
        pytest.param("{Port}.Example.com", id="upper-case"),
        pytest.param("http://{port}.example.com", id="with-a-scheme"),
        pytest.param("{port}.example.com/", id="with-a-path"),
        pytest.param("{port}.example.com:http", id="port-that-is-no-number"),
        pytest.param("{port}.example.com:8000:1", id="two-ports"),
        pytest.param("*.example.com", id="asterisk"),
        pytest.param("{}.example.com", id="no-name"),
        pytest.param("{port}.ex_ample.com", id="underscore"),
        pytest.param("{port}.ex ample.com", id="space"),
        pytest.param("{port}.example.com\n", id="line-end"),
        pytest.param("user@{port}.example.com", id="userinfo"),
        pytest.param("[{port}::1]", id="ipv6"),
    ],
)
def test_templates_that_could_never_work_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"host (names|needs|must)"):
        HostForm(template, NAMES)


# --- Whose name a Host is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("16006.ports.example.com", id="plain"),
        pytest.param("16006.ports.example.com:8000", id="with-a-port"),
        pytest.param("16006.ports.example.com:", id="with-a-bare-colon"),
        pytest.param("16006.PORTS.Example.COM", id="upper-case"),
        pytest.param("16006.ports.example.com.", id="final-dot"),
        pytest.param("16006.ports.example.com.:8000", id="final-dot-and-port"),
    ],
)
def test_spellings_of_a_name_of_a_port(host: str) -> None:
    assert match(PLAIN, host) == Matched("16006", {})


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("app.test", id="another-domain"),
        pytest.param("ports.example.com", id="the-fixed-part-alone"),
        pytest.param("ports.example.com:8000", id="the-fixed-part-and-a-port"),
        pytest.param("example.com", id="above"),
        pytest.param("16006ports.example.com", id="no-dot"),
        pytest.param("16006.ports.example.com.evil.test", id="longer"),
        pytest.param("16006.ports.example.comx", id="longer-label"),
        pytest.param("xports.example.com", id="ends-alike"),
        pytest.param("127.0.0.1:8000", id="ipv4"),
        pytest.param("[::1]:8000", id="ipv6"),
        pytest.param("", id="empty"),
    ],
)
def test_names_of_the_app(host: str) -> None:
    assert match(PLAIN, host) is None
    assert match(CARRYING, host) is None


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("www.ports.example.com", "www"),
        ("016006.ports.example.com", "016006"),
        ("16006x.ports.example.com", "16006x"),
        ("99999999.ports.example.com", "99999999"),
        ("a.16006.ports.example.com", "a.16006"),
        (".ports.example.com", ""),
        ("-.ports.example.com", "-"),
        ("16006@.ports.example.com", "16006@"),
        ("<script>.ports.example.com", "<script>"),
    ],
)
def test_a_name_below_the_fixed_part_never_is_the_apps(host: str, port: str) -> None:
    """What stands there is said to be no port, by who parses it."""
    assert match(PLAIN, host) == Matched(port, {})


def test_parameters_of_the_mount_in_the_name() -> None:
    matched = match(CARRYING, "16006--vision-2--a_b.ports.example.com")
    assert matched == Matched("16006", {"project": "vision-2", "username": "a_b"})
    assert match(CARRYING, "16006--VISION--Alice.ports.example.com") == Matched(
        "16006", {"project": "vision", "username": "alice"}
    )


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("16006.ports.example.com", id="too-few"),
        pytest.param("16006--vision.ports.example.com", id="one-missing"),
        pytest.param("16006--vision--.ports.example.com", id="one-empty"),
        pytest.param("16006--a--b--c.ports.example.com", id="one-too-many"),
        pytest.param("16006--a--b.c.ports.example.com", id="dot-in-a-value"),
        pytest.param("16006--a---b.ports.example.com", id="hyphen-at-an-end"),
        pytest.param("16006--%61--b.ports.example.com", id="escape"),
        pytest.param("16006--\xe4--b.ports.example.com", id="not-ascii"),
        pytest.param("--a--b.ports.example.com", id="no-port"),
        pytest.param("x" * 300 + ".ports.example.com", id="too-long"),
    ],
)
def test_a_name_that_may_be_read_in_two_ways_or_none_is_not_found(host: str) -> None:
    with pytest.raises(NotFound):
        match(CARRYING, host)


@pytest.mark.parametrize(
    ("template", "ours", "apps"),
    [
        ("p{port}.example.com", ["p16006", "p0", "p99999999"], ["app", "www", "px", "p", "p1x"]),
        ("{port}-svc.example.com", ["16006-svc"], ["app", "www", "svc", "16006", "x-svc"]),
        ("svc-{port}-x.example.com", ["svc-1-x"], ["app", "svc-a-x", "svc--x"]),
    ],
)
def test_a_template_with_more_than_the_port_in_its_label_leaves_the_domain_to_the_app(
    template: str, ours: list[str], apps: list[str]
) -> None:
    form = HostForm(template, NAMES)
    for label in ours:
        assert match(form, f"{label}.example.com") is not None, label
    for label in apps:
        assert match(form, f"{label}.example.com") is None, label


def test_without_a_host_the_servers_name_counts() -> None:
    made = environ(SERVER_NAME="16006.ports.example.com")
    del made["HTTP_HOST"]
    assert PLAIN.match(made) == Matched("16006", {})
    made["HTTP_HOST"] = ""
    assert PLAIN.match(made) == Matched("16006", {})


@pytest.mark.parametrize(
    "host",
    [
        "1" + "--a" * 80 + ".ports.example.com",
        "-" * 250 + ".ports.example.com",
        "1--" + "a-" * 110 + "--b.ports.example.com",
        "a" * 1_000_000,
        "a" * 1_000_000 + ".ports.example.com",
        "a." * 500_000,
        ":1" * 500_000,
        ":" + "1" * 1_000_000 + "x",
    ],
    ids=["separators", "hyphens", "alternating", "long", "long-below", "labels", "colons", "port"],
)
def test_an_odd_host_costs_little(host: str) -> None:
    with costs_little():
        for form in (PLAIN, CARRYING, SHARING):
            with contextlib.suppress(NotFound):
                form.match(environ(HTTP_HOST=host))


# --- Which name a port has -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "host", "expected"),
    [
        ("{port}.ports.example.com", "app.test", "16006.ports.example.com"),
        ("{port}.ports.example.com", "app.test:8443", "16006.ports.example.com:8443"),
        ("{port}.ports.example.com", "[::1]:8443", "16006.ports.example.com:8443"),
        ("{port}.ports.example.com", "[::1]", "16006.ports.example.com"),
        ("{port}.localhost:8000", "localhost:9000", "16006.localhost:8000"),
        ("{port}.localhost:8000", "localhost", "16006.localhost:8000"),
        ("p{port}.example.com", "www.example.com", "p16006.example.com"),
    ],
)
def test_the_name_of_a_port(template: str, host: str, expected: str) -> None:
    form = HostForm(template, NAMES)
    assert link(form, host=host) == expected
    assert match(form, expected) == Matched("16006", {})


@pytest.mark.parametrize(
    ("username", "project", "expected"),
    [
        pytest.param("alice", "vision", "16006--vision--alice", id="plain"),
        pytest.param("a_b", "v-1", "16006--v-1--a_b", id="underscore-and-hyphen"),
        pytest.param("Alice", "vision", None, id="upper-case"),
        pytest.param("al.ice", "vision", None, id="dot"),
        pytest.param("al ice", "vision", None, id="space"),
        pytest.param("\xe4", "vision", None, id="not-ascii"),
        pytest.param("", "vision", None, id="empty"),
        pytest.param("alice", "a--b", None, id="the-separator"),
        pytest.param("alice", "-a", None, id="hyphen-first"),
        pytest.param("alice", "a-", None, id="hyphen-last"),
        pytest.param("alice", "a" * 50, None, id="label-too-long"),
        pytest.param("alice", "a\n", None, id="line-end"),
    ],
)
def test_parameters_that_cannot_stand_in_a_name_have_no_link(
    username: str, project: str, expected: str | None
) -> None:
    made = link(CARRYING, username=username, project=project)
    assert made == (expected and f"{expected}.ports.example.com")
    if made is not None:
        matched = match(CARRYING, made)
        assert matched == Matched("16006", {"username": username, "project": project})


def test_a_missing_parameter_has_no_link() -> None:
    assert link(CARRYING, username="alice") is None


def test_a_name_that_is_too_long_for_dns_has_no_link() -> None:
    form = HostForm("{port}.{a}.{b}.{c}.{d}.example.com", frozenset("abcd"))
    long: dict[str, Any] = dict.fromkeys("abcd", "x" * 63)
    assert link(form, **long) is None
    assert link(form, **{**long, "d": "y"}) is not None
