"""The host form's template, in both directions: whose name a Host is, and which name a port has."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from wsgi_portproxy.errors import NotFound
from wsgi_portproxy.locate.host_template import HostTemplate, Matched

from .given import costs_little, environ, table

NAMES = frozenset({"username", "project"})
PLAIN = HostTemplate("{port}.ports.example.com", NAMES)
CARRYING = HostTemplate("{port}--{project}--{username}.ports.example.com", NAMES)
SHARING = HostTemplate("p{port}.example.com", NAMES)


def match(form: HostTemplate, host: str, **fields: Any) -> Matched | None:
    return form.match(environ(HTTP_HOST=host, **fields))


def link(
    form: HostTemplate, port: int = 16006, host: str = "app.test", **params: str
) -> str | None:
    return form.authority(port, params, environ(HTTP_HOST=host))


# --- Templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{port}.localhost:8000",
        "x-{port}-y.example.com",
        "{username}-{port}.example.com",
        "{port}.{username}.example.com",
    ],
)
def test_templates_that_work(template: str) -> None:
    assert "port" not in HostTemplate(template, NAMES).names


@pytest.mark.parametrize(
    "template",
    [
        # No port, twice the same, or what the mount does not have.
        *("", "ports.example.com", "{username}.ports.example.com", "{port}.{port}.example.com"),
        *("{port}.{project}.{project}.example.com", "{port}.{team}.example.com"),
        # No fixed domain, and nothing in between.
        *("{port}", "{port}.", "{port}-example", "ports.example.{port}"),
        *("{port}{project}.example.com", "{port}..example.com"),
        # No host name.
        *("{port}.Example.com", "http://{port}.example.com", "{port}.example.com/"),
        *("{port}.example.com:http", "{port}.example.com:8000:1", "{}.{port}.example.com"),
        *("{port}.ex_ample.com", "{port}.example.com\n"),
    ],
)
def test_templates_that_could_never_work_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"host_template (names|needs|takes)"):
        HostTemplate(template, NAMES)


# --- Whose name a Host is ------------------------------------------------------------------------

ENDS = ["", ":8000", ":", ".", ".:8000"]


@pytest.mark.parametrize(
    "host", ["16006.PORTS.Example.COM", *(f"16006.ports.example.com{end}" for end in ENDS)]
)
def test_spellings_of_a_name_of_a_port(host: str) -> None:
    assert match(PLAIN, host) == Matched("16006", {})


@pytest.mark.parametrize(
    "host",
    [
        *("", "app.test", "ports.example.com", "ports.example.com:8000", "16006ports.example.com"),
        *("16006.ports.example.com.evil.test", "16006.ports.example.comx", "[::1]:8000"),
    ],
)
def test_names_of_the_app(host: str) -> None:
    assert match(PLAIN, host) is None
    assert match(CARRYING, host) is None


@pytest.mark.parametrize("port", ["www", "016006", "99999999", "a.16006", "", "-", "<script>"])
def test_a_name_below_the_fixed_part_never_is_the_apps(port: str) -> None:
    """What stands there is said to be no port, by who parses it."""
    assert match(PLAIN, f"{port}.ports.example.com") == Matched(port, {})


def test_parameters_of_the_mount_in_the_name() -> None:
    matched = match(CARRYING, "16006--vision-2--a_b.ports.example.com")
    assert matched == Matched("16006", {"project": "vision-2", "username": "a_b"})
    assert match(CARRYING, "16006--VISION--Alice.ports.example.com") == Matched(
        "16006", {"project": "vision", "username": "alice"}
    )


@pytest.mark.parametrize(
    "label",
    [
        *("16006", "16006--vision", "16006--vision--", "16006--a--b--c", "16006--a--b.c"),
        *("16006--a---b", "16006--%61--b", "16006--\xe4--b", "--a--b"),
        "16006--a--" + "b" * (254 - len("16006--a--.ports.example.com")),
    ],
)
def test_a_name_that_may_be_read_in_two_ways_or_none_is_not_found(label: str) -> None:
    with pytest.raises(NotFound):
        match(CARRYING, f"{label}.ports.example.com")


def test_the_longest_name() -> None:
    longest = "b" * (253 - len("16006--a--.ports.example.com"))
    matched = match(CARRYING, f"16006--a--{longest}.ports.example.com")
    assert matched == Matched("16006", {"project": "a", "username": longest})


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
    form = HostTemplate(template, NAMES)
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


@table(
    "host",
    {
        "separators": "1" + "--a" * 75 + ".ports.example.com",
        "hyphens": "-" * 235 + ".ports.example.com",
        "alternating": "1--" + "a-" * 110 + "--b.ports.example.com",
        "long-below": "a" * 1_000_000 + ".ports.example.com",
        "labels": "a." * 500_000,
        "colons": ":1" * 500_000,
        "port": ":" + "1" * 1_000_000 + "x",
    },
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
        ("{port}.ports.example.com", "[::1]:8443", "16006.ports.example.com:8443"),
        ("{port}.ports.example.com", "[::1]", "16006.ports.example.com"),
        ("{port}.localhost:8000", "localhost:9000", "16006.localhost:8000"),
        ("p{port}.example.com", "www.example.com", "p16006.example.com"),
    ],
)
def test_the_name_of_a_port(template: str, host: str, expected: str) -> None:
    form = HostTemplate(template, NAMES)
    assert link(form, host=host) == expected
    assert match(form, expected) == Matched("16006", {})


@pytest.mark.parametrize(
    ("username", "project", "expected"),
    [
        ("a_b", "v-1", "16006--v-1--a_b"),
        ("alice", "a" * 49, f"16006--{'a' * 49}--alice"),
        *((name, "vision", None) for name in ("Alice", "al.ice", "\xe4", "")),
        *(("alice", name, None) for name in ("a--b", "-a", "a-", "a" * 50, "a\n")),
    ],
)
def test_parameters_that_cannot_stand_in_a_name_have_no_link(
    username: str, project: str, expected: str | None
) -> None:
    made = link(CARRYING, username=username, project=project)
    assert made == (expected and f"{expected}.ports.example.com")
    if made is not None:
        params = {"username": username, "project": project}
        assert match(CARRYING, made) == Matched("16006", params)


def test_a_missing_parameter_has_no_link() -> None:
    assert link(CARRYING, username="alice") is None


def test_a_name_that_is_too_long_for_dns_has_no_link() -> None:
    form = HostTemplate("{port}.{a}.{b}.{c}.{d}.example.com", frozenset("abcd"))
    long: dict[str, Any] = dict.fromkeys("abcd", "x" * 63)
    assert link(form, **long) is None
    assert link(form, **{**long, "d": "y"}) is not None
