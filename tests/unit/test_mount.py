"""Which paths belong to a mount, and with which parameters."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from wsgi_portproxy.errors import NotFound
from wsgi_portproxy.mount import Mount

TWO = "/{username}/{project}"


def segments(path: str) -> list[str]:
    """As `locate` makes them: decoded one by one, latin-1."""
    return [unquote(segment, "latin-1") for segment in path.split("/")[1:]]


MATCHES = [
    ("whole-app", "", "/", {}),
    ("whole-app-without-path", "", "", {}),
    ("whole-app-any-path", "", "/a/b", {}),
    ("two", TWO, "/alice/vision", {"username": "alice", "project": "vision"}),
    ("final-slash", TWO, "/alice/vision/", {"username": "alice", "project": "vision"}),
    ("more-below", TWO, "/alice/vision/a/b", {"username": "alice", "project": "vision"}),
    ("template-with-final-slash", TWO + "/", "/a/b", {"username": "a", "project": "b"}),
    ("escapes-are-decoded", TWO, "/%61lice/vis%20ion", {"username": "alice", "project": "vis ion"}),
    ("utf-8", TWO, "/m%C3%BCller/%E2%82%AC", {"username": "müller", "project": "€"}),
    ("case-is-kept", TWO, "/Alice/VISION", {"username": "Alice", "project": "VISION"}),
    ("plain-segments", "/u/{name}/ports", "/u/alice/ports/x", {"name": "alice"}),
    ("plain-segment-escaped", "/u/{name}", "/%75/alice", {"name": "alice"}),
    ("plain-segment-in-utf-8", "/büro/{name}", "/b%C3%BCro/x", {"name": "x"}),
    ("dots-within-a-name", TWO, "/.alice/v..2", {"username": ".alice", "project": "v..2"}),
    ("three-dots", TWO, "/.../x", {"username": "...", "project": "x"}),
    ("percent-stays-single", TWO, "/a%2562/x", {"username": "a%62", "project": "x"}),
    ("braces-in-a-value", TWO, "/{x}/%7By%7D", {"username": "{x}", "project": "{y}"}),
    ("slash-below-the-mount", TWO, "/a/b/c%2Fd", {"username": "a", "project": "b"}),
]


@pytest.mark.parametrize(
    ("template", "path", "params"), [row[1:] for row in MATCHES], ids=[row[0] for row in MATCHES]
)
def test_parameters(template: str, path: str, params: dict[str, str]) -> None:
    assert Mount(template).match(segments(path)) == params


@pytest.mark.parametrize(
    ("template", "path"),
    [
        pytest.param(TWO, "/", id="root"),
        pytest.param(TWO, "/alice", id="one-segment"),
        pytest.param(TWO, "/alice/", id="empty-second"),
        pytest.param(TWO, "//alice/vision", id="empty-first"),
        pytest.param(TWO, "/alice//vision", id="empty-in-between"),
        pytest.param("/u/{name}", "/U/alice", id="plain-segments-have-a-case"),
        pytest.param("/u/{name}", "/users/alice", id="longer-segment"),
        pytest.param("/u/{name}", "/u%00/alice", id="plain-segment-with-more"),
        pytest.param("/u/{name}", "/%ff/alice", id="plain-segment-not-utf-8"),
    ],
)
def test_other_paths_are_the_apps_own(template: str, path: str) -> None:
    assert Mount(template).match(segments(path)) is None


@pytest.mark.promise("The authorizer judges what your app would see")
@pytest.mark.parametrize(
    ("template", "path"),
    [
        pytest.param(TWO, "/alice/..", id="dot-dot"),
        pytest.param(TWO, "/../vision", id="dot-dot-first"),
        pytest.param(TWO, "/./vision", id="dot"),
        pytest.param(TWO, "/alice/%2e%2e", id="escaped-dot-dot"),
        pytest.param(TWO, "/alice/.%2E/x", id="half-escaped-dot-dot"),
        pytest.param(TWO, "/alice/vision%2Fx", id="escaped-slash-within"),
        pytest.param(TWO, "/alice%2fvision/", id="escaped-slash-between"),
        pytest.param(TWO, "/alice%2fvision", id="escaped-slash-between-and-no-more"),
        pytest.param(TWO, "/%2falice/vision", id="escaped-slash-at-the-beginning"),
        pytest.param("/u/{name}", "/u%2fname", id="escaped-slash-after-plain-text"),
        pytest.param(TWO, "/alice%5cvision/x", id="backslash"),
        pytest.param(TWO, "/alice/a%00b", id="nul"),
        pytest.param(TWO, "/alice/a%0d%0ab", id="line-end"),
        pytest.param(TWO, "/alice/%7f", id="delete"),
        pytest.param(TWO, "/alice/%ff", id="not-utf-8"),
        pytest.param(TWO, "/alice/%c0%ae%c0%ae", id="overlong-dots"),
        pytest.param(TWO, "/alice/%ed%a0%80", id="surrogate"),
    ],
)
def test_what_two_readers_could_take_for_two_things_is_not_found(template: str, path: str) -> None:
    with pytest.raises(NotFound):
        Mount(template).match(segments(path))


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("alice", id="no-slash"),
        pytest.param("{username}/{project}", id="no-slash-before-a-parameter"),
        pytest.param("/a//b", id="empty-segment"),
        pytest.param("/{a}{b}", id="two-in-one-segment"),
        pytest.param("/u-{name}", id="text-and-parameter"),
        pytest.param("/{}", id="no-name"),
        pytest.param("/{2}", id="number"),
        pytest.param("/{a-b}", id="not-an-identifier"),
        pytest.param("/{a", id="unbalanced"),
        pytest.param("/{a}/{a}", id="twice-the-same"),
        pytest.param("/a/../{b}", id="dot-dot"),
        pytest.param("/./{b}", id="dot"),
    ],
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
