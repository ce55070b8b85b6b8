"""Settings that may differ from port to port."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import SettingFailed
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.settings import PerPort

from .given import a_target

IDENTITIES = ("local", "external")


def identity(value: Any) -> PerPort[str]:
    return PerPort("identity", value, IDENTITIES)


def strip_mount(value: Any) -> PerPort[bool]:
    return PerPort("strip_mount", value, (True, False))


def test_a_plain_value_is_that_of_all_ports() -> None:
    for value in IDENTITIES:
        assert identity(value).of(a_target()) == value
    for yes in (True, False):
        assert strip_mount(yes).of(a_target()) is yes


def test_a_callable_is_given_the_target_and_asked_each_time() -> None:
    asked: list[Target] = []

    def by_port(target: Target) -> str:
        asked.append(target)
        return "external" if target.port == 15000 else "local"

    setting = identity(by_port)
    assert asked == []
    targets = [a_target(port=port) for port in (16006, 15000, 16006)]
    assert [setting.of(target) for target in targets] == ["local", "external", "local"]
    assert asked == targets


def test_a_value_that_is_none_of_them_is_refused_at_once() -> None:
    identities: list[Any] = [None, "", "LOCAL", True, ["local"], b"local"]
    for value in identities:
        with pytest.raises(ValueError, match="identity must be one of 'local', 'external'"):
            identity(value)
    answers: list[Any] = [None, "False", 2, []]
    for value in answers:
        with pytest.raises(ValueError, match="strip_mount must be one of True, False"):
            strip_mount(value)


@pytest.mark.parametrize("returned", [None, "", "EXTERNAL", b"local", True], ids=repr)
def test_a_callable_that_returns_none_of_them_fails(returned: Any) -> None:
    with pytest.raises(SettingFailed) as caught:
        identity(lambda target: returned).of(a_target(port=15000))
    assert caught.value.status == 500
    assert caught.value.message == "This application's settings for port 15000 do not work."
    assert caught.value.detail == (f"the identity callable returned {type(returned).__name__}")


@pytest.mark.parametrize("returned", [None, 1, 0, "no"], ids=repr)
def test_what_is_only_like_true_or_false_fails(returned: Any) -> None:
    with pytest.raises(SettingFailed):
        strip_mount(lambda target: returned).of(a_target())


def test_a_text_may_be_any_equal_one() -> None:
    assert identity(lambda target: "".join(["lo", "cal"])).of(a_target()) == "local"


def test_a_callable_that_raises_fails_and_tells_nobody_but_the_log() -> None:
    error = RuntimeError("/srv/secret.py")

    def fails(target: Target) -> bool:
        raise error

    with pytest.raises(SettingFailed) as caught:
        strip_mount(fails).of(a_target())
    assert caught.value.__cause__ is error
    assert caught.value.detail == "the strip_mount callable raised"
    assert "secret" not in caught.value.message + caught.value.hint


def test_what_stops_a_worker_is_not_swallowed() -> None:
    def stops(target: Target) -> bool:
        raise SystemExit

    with pytest.raises(SystemExit):
        strip_mount(stops).of(a_target())
