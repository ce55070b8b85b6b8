"""The host names that the site answers to, and those by which a service is told `localhost`."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from wsgi_portproxy.errors import Misdirected
from wsgi_portproxy.policy.hosts import LOOPBACK, Hosts, host_name

from .given import environ, table

LOCAL = ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]", "[::1]:8000", "localhost."]
BELOW_LOCAL = ["a.localhost", "16006.a.localhost:8000"]
ADDRESSES = ["10.1.2.3", "203.0.113.9:443", "[2001:db8::1]:8000"]
EVIL = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"]
EVIL += ["xlocalhost", "127.0.0.1@evil.example", "1.2.3", "", ":8000", "evil.example/localhost"]
APP = ["app.test", "APP.test:8000", "app.test.", "app.test:"]


def asked_by(host: str) -> dict[str, Any]:
    return environ(HTTP_HOST=host, SERVER_NAME="")


def known(hosts: Hosts, names: list[str]) -> list[str]:
    return [name for name in names if hosts.knows(asked_by(name))]


@table(
    "named, of_framework, names",
    {
        # What nobody's name leads to by another's doing.
        "default": (None, (), LOCAL + BELOW_LOCAL + ADDRESSES),
        "framework": (None, ["App.Test"], LOCAL + BELOW_LOCAL + ADDRESSES + APP),
        "framework-any": (None, ["*", "*.test", ""], LOCAL + BELOW_LOCAL + ADDRESSES),
        "said": (["APP.test"], (), APP),
        "said-before-the-framework": (["app.test"], ["evil.example"], APP),
        "loopback": (LOOPBACK, (), LOCAL + BELOW_LOCAL),
        "one-address": (["10.1.2.3"], (), ["10.1.2.3"]),
        "one-v6-address": (["[2001:DB8::1]"], (), ["[2001:db8::1]:8000"]),
        "none": ([], ["app.test"], []),
    },
)
def test_the_names_that_are_known(named: Any, of_framework: Any, names: list[str]) -> None:
    everything = LOCAL + BELOW_LOCAL + ADDRESSES + EVIL + APP
    assert known(Hosts(named, of_framework), everything) == [
        name for name in everything if name in names
    ]


def test_a_dot_in_front_is_for_that_name_and_all_below_it() -> None:
    hosts = Hosts([".app.test"])
    names = ["app.test", "a.app.test", "b.a.app.test:80", "xapp.test", "test", "app.test.evil.test"]
    assert known(hosts, names) == names[:3]


@pytest.mark.parametrize("named", [None, ["other.test"], [], [".other.test"]])
def test_the_name_in_the_template_counts_as_said(named: Any) -> None:
    hosts = Hosts(named, (), ["app.test", "[::1]"])
    assert known(hosts, [*APP, "[::1]:8000", *EVIL]) == [*APP, "[::1]:8000"]
    hosts.check(asked_by("app.test:36006"))


def test_an_iterator_of_names_is_read_once() -> None:
    assert known(Hosts(iter(["app.test"])), ["app.test", "app.test"]) == ["app.test"] * 2


@pytest.mark.parametrize("host", [*EVIL, *LOCAL, *ADDRESSES])
def test_where_names_were_said_others_are_refused(host: str) -> None:
    with pytest.raises(Misdirected) as caught:
        Hosts(["app.test"]).check(asked_by(host))
    assert caught.value.status == 421
    assert "evil" not in caught.value.message + caught.value.hint  # the log alone is told it


def test_a_name_that_was_said_passes_and_where_none_was_all_do() -> None:
    for name in APP:
        Hosts(["app.test"]).check(asked_by(name))
    for name in [*EVIL, *APP, *LOCAL]:
        Hosts(None, ["app.test"]).check(asked_by(name))


@pytest.mark.parametrize(
    "wrong",
    [
        *("", ".", "*", "*.app.test", "http://app.test", "app.test:8000", "app.test/x", "a b"),
        *("app.test.", "..app.test", "\xe4.test", "::1", "[::1]:80", "app.test\n", "-app.test"),
    ],
)
def test_what_is_no_host_name_is_told_at_once(wrong: str) -> None:
    with pytest.raises(ValueError, match="hosts takes host names"):
        Hosts(["app.test", wrong])
    Hosts(None, [wrong])  # a framework's own words are read as far as they are names


def test_one_text_is_not_taken_for_its_letters() -> None:
    with pytest.raises(TypeError, match="not one string"):
        Hosts("app.test")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"HTTP_HOST": "APP.test.:8000"}, "app.test"),
        ({"HTTP_HOST": "", "SERVER_NAME": "Other.test"}, "other.test"),
        ({"HTTP_HOST": "[::1]:8000"}, "[::1]"),
        ({"HTTP_HOST": "a" * 10_000}, "a" * 512),
    ],
)
def test_the_name_that_was_asked_for(fields: dict[str, Any], name: str) -> None:
    assert host_name(environ(**fields)) == name


def test_without_any_name_there_is_none() -> None:
    assert host_name({}) == ""


def test_the_log_is_told_of_an_unknown_name_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    hosts = Hosts(None)
    for name in ("evil.example", "other.example"):
        hosts.warn_of_unknown(asked_by(f"{name}\r\nX"))
    [record] = caplog.records
    assert record.getMessage().startswith("evil.example\\r\\nx is not in hosts: ")
    assert "\n" not in record.getMessage()
