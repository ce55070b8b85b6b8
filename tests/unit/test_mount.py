"""Which paths belong to a mount, and with which parameters."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from wsgi_portproxy.errors import NotFound
from wsgi_portproxy.locate.mount import Mount

from .given import table, words

TWO = "/{username}/{project}"


def segments(path: str) -> list[str]:
    """As `locate` makes them: decoded one by one, latin-1."""
    return [unquote(segment, "latin-1") for segment in path.split("/")[1:]]


@table(
    "template, path, params",
    {
        "whole-app": ("", "/", {}),
        "whole-app-without-path": ("", "", {}),
        "whole-app-any-path": ("", "/a/b", {}),
        "two": (TWO, "/alice/vision", {"username": "alice", "project": "vision"}),
        "more-below": (TWO, "/alice/vision/", {"username": "alice", "project": "vision"}),
        "template-with-final-slash": (TWO + "/", "/a/b", {"username": "a", "project": "b"}),
        "escapes": (TWO, "/%61lice/vis%20ion", {"username": "alice", "project": "vis ion"}),
        "utf-8": (TWO, "/m%C3%BCller/%E2%82%AC", {"username": "müller", "project": "€"}),
        "case-is-kept": (TWO, "/Alice/VISION", {"username": "Alice", "project": "VISION"}),
        "plain-segments": ("/u/{name}/ports", "/u/alice/ports/x", {"name": "alice"}),
        "plain-segment-escaped": ("/u/{name}", "/%75/alice", {"name": "alice"}),
        "plain-segment-in-utf-8": ("/büro/{name}", "/b%C3%BCro/x", {"name": "x"}),
        "dots-within": (TWO, "/.../v..2", {"username": "...", "project": "v..2"}),
        "percent-stays-single": (TWO, "/a%2562/x", {"username": "a%62", "project": "x"}),
        "braces-in-a-value": (TWO, "/{x}/%7By%7D", {"username": "{x}", "project": "{y}"}),
        "slash-below-the-mount": (TWO, "/a/b/c%2Fd", {"username": "a", "project": "b"}),
    },
)
def test_parameters(template: str, path: str, params: dict[str, str]) -> None:
    assert Mount(template).match(segments(path)) == params


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        (TWO, "/ /alice /alice/ //alice/vision /alice//vision"),
        ("/u/{name}", "/U/alice /users/alice /u%00/alice /%ff/alice"),
    ],
)
def test_other_paths_are_the_apps_own(template: str, paths: str) -> None:
    for path in words(paths):
        assert Mount(template).match(segments(path)) is None, path


@pytest.mark.promise("The authorizer judges what your app would see")
@pytest.mark.parametrize(
    "path",
    words("""
        /alice/.. /../vision /./vision /alice/%2e%2e /alice/.%2E/x /alice/vision%2Fx
        /alice%2fvision/ /alice%2fvision /%2falice/vision /alice%5cvision/x /alice/a%00b
        /alice/a%0d%0ab /alice/%1f /alice/%7f /alice/%ff /alice/%c0%ae%c0%ae /alice/%ed%a0%80
    """),
)
def test_what_two_readers_could_take_for_two_things_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        Mount(TWO).match(segments(path))


def test_an_escaped_slash_behind_plain_text_is_not_found() -> None:
    with pytest.raises(NotFound):
        Mount("/u/{name}").match(segments("/u%2fname"))


@pytest.mark.parametrize(
    "template",
    words("""
        alice {username}/{project} /a//b /{a}{b} /u-{name} /{} /{2} /{a-b} /{a /a} /{a}/{a}
        /a/../{b} /./{b}
    """),
)
def test_templates_that_could_never_match_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="mount"):
        Mount(template)


def test_the_parameters_cannot_be_changed() -> None:
    params = Mount(TWO).match(["alice", "vision"])
    with pytest.raises(TypeError):
        params["username"] = "bob"  # type: ignore[index]


def test_it_knows_the_names_of_its_parameters() -> None:
    assert Mount("/u/{username}/{project}").names == {"username", "project"}
    assert Mount("").names == frozenset()
