"""How many cookies a service may set for a visitor, and how long they are at the app's pages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wsgi_portproxy.rewrite import cookie_limits as module
from wsgi_portproxy.rewrite.cookie_limits import CookieLimits
from wsgi_portproxy.rewrite.set_cookie import SetCookie

from .given import table

NAMES, LEAST_NAMES = module._NEW, module._LEAST_NEW
BYTES, LEAST_BYTES = module._AT_THE_APPS_PAGES, module._LEAST_BYTES
REMEMBERED, MOST_SENT = module._REMEMBERED, module._MOST_SENT
PAGES = "/alice/vision"


class World:
    """The limits, and time that passes only when told to."""

    def __init__(self) -> None:
        self.limits = CookieLimits()
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def allow(
        self,
        name: str,
        size: int = 10,
        *,
        visitor: str = "sessionid=alice",
        path: str = "/alice/vision/",
        expired: bool = False,
        **kwargs: Any,
    ) -> bool:
        cookie = SetCookie(name, f"{name}=".ljust(size, "x")[:size], path, expired)
        return self.limits.allow(visitor, cookie, **kwargs)

    def fill(self, count: int = NAMES, **kwargs: Any) -> list[bool]:
        return [self.allow(f"c{number}", **kwargs) for number in range(count)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def test_services_may_set_so_many_cookies_at_a_time(world: World) -> None:
    assert world.fill() == [True] * NAMES
    assert not world.allow("one-more")
    assert not world.allow("c0", path="/alice/")  # which is another: the browser is one
    assert world.fill() == [True] * NAMES  # again, as often as they like
    assert not world.allow("one-more")


@pytest.mark.parametrize("other", ["sessionid=bob", "sessionid=alic", ""])
def test_another_visitor_has_a_browser_of_their_own(world: World, other: str) -> None:
    world.fill()
    assert world.fill(visitor=other) == [True] * NAMES
    assert not world.allow("one-more", visitor=other)
    assert not world.allow("one-more")


def test_after_a_while_there_may_be_more(world: World) -> None:
    world.fill()
    world.now += REMEMBERED
    assert not world.allow("one-more")
    assert world.allow("c0")  # which is young again
    world.now += 1
    more = [world.allow(f"more{number}") for number in range(NAMES)]
    assert more == [True] * (NAMES - 1) + [False]


@pytest.mark.parametrize(
    ("processes", "names", "length"),
    [
        (1, NAMES, BYTES),
        (2, NAMES // 2, BYTES // 2),
        (100, LEAST_NAMES, LEAST_BYTES),
    ],
)
def test_each_process_has_its_share(world: World, processes: int, names: int, length: int) -> None:
    assert sum(world.fill(NAMES, processes=processes)) == names
    for size, allowed in ((length + 1, False), (length, True)):
        given = world.allow("a", size, visitor="", pages=PAGES, processes=processes)
        assert given is allowed


@pytest.mark.parametrize(
    ("sent", "size", "allowed"),
    [
        (0, 10, True),
        (MOST_SENT - 10, 10, True),
        (MOST_SENT - 10, 11, False),
        (10 * MOST_SENT, 1, False),
    ],
)
def test_what_the_visitor_sent_already_counts_at_the_apps_pages(
    world: World, sent: int, size: int, allowed: bool
) -> None:
    assert world.allow("a", size, sent={"x": sent, "a": 9999}, pages=PAGES) is allowed
    assert world.allow("b", size, sent={"x": sent})  # and nowhere else


def test_one_that_the_browser_has_is_no_new_one(world: World) -> None:
    world.fill()
    assert not world.allow("old")
    assert world.allow("old", is_known=True)
    assert not world.allow("one-more")


def test_one_that_is_removed_makes_room(world: World) -> None:
    """And passes whatever there is: signing out always works."""
    world.fill(pages=PAGES)
    assert world.allow("unknown", expired=True, pages=PAGES, sent={"x": 10 * MOST_SENT})
    assert not world.allow("one-more", pages=PAGES)
    assert world.allow("c0", expired=True, pages=PAGES)
    assert world.allow("one-more", pages=PAGES)


def test_nothing_long_is_kept(world: World) -> None:
    assert world.allow("n" * 4000, path="/" + "p" * 60000)
    assert world.allow("n" * 1000, pages=PAGES)
    assert len(repr(world.limits._set)) < 1000


@pytest.mark.parametrize(
    ("sizes", "allowed"),
    [
        ([BYTES], [True]),
        ([BYTES + 1], [False]),
        ([BYTES - 10, 10, 1], [True, True, False]),
        ([2000, 49, 48], [True, False, True]),  # what was refused takes no room
    ],
)
def test_at_the_apps_pages_they_are_so_long_in_all(
    world: World, sizes: list[int], allowed: list[bool]
) -> None:
    given = [world.allow(f"c{number}", size, pages=PAGES) for number, size in enumerate(sizes)]
    assert given == allowed


def test_one_that_is_set_again_has_its_new_length(world: World) -> None:
    assert world.allow("a", 2000, pages=PAGES)
    assert world.allow("a", 2040, pages=PAGES)
    assert not world.allow("b", 10, pages=PAGES)
    assert world.allow("a", 2, pages=PAGES)
    assert world.allow("b", 2000, pages=PAGES)
    # The same name with another path is another cookie.
    assert not world.allow("b", 100, path="/alice/vision/x/", pages=PAGES)


def test_what_was_sent_and_what_was_set_lately_count_once_each(world: World) -> None:
    assert world.allow("a", 1900, pages=PAGES)
    assert world.allow("b", 90, sent={"a": 1900, "c": 2600}, pages=PAGES)
    assert not world.allow("d", 50, sent={"c": 2600}, pages=PAGES)


@table(
    "other",
    {
        "pages": {"pages": "/bob/vision"},
        "visitor": {"visitor": "sessionid=bob", "pages": PAGES},
        "none": {"pages": None},
    },
)
def test_elsewhere_there_is_room(world: World, other: dict[str, Any]) -> None:
    assert world.allow("a", BYTES, pages=PAGES)
    assert world.allow("b", BYTES, **other)
    assert not world.allow("c", 1, pages=PAGES)


def test_what_is_long_ago_takes_no_room(world: World) -> None:
    assert world.allow("a", BYTES, pages=PAGES)
    world.now += REMEMBERED + 1
    assert world.allow("b", BYTES, pages=PAGES)


def test_it_is_the_last_time_that_counts(world: World) -> None:
    assert world.allow("a", 1000, pages=PAGES)
    assert world.allow("b", 1000, pages=PAGES)
    world.now += REMEMBERED / 2
    assert world.allow("a", 1000, pages=PAGES)
    world.now += REMEMBERED / 2 + 1
    assert world.allow("c", 1000, pages=PAGES)  # b is long ago, and a is not
    assert not world.allow("d", 1000, pages=PAGES)


def test_what_is_remembered_does_not_pile_up(world: World) -> None:
    for number in range(3000):
        assert world.allow("a", visitor=str(number), pages=f"/{number}")
    assert len(world.limits._set) <= 1024
    world.fill(NAMES)
    assert not world.allow("one-more")  # those that come now are remembered
    assert max(map(len, world.limits._set.values())) <= NAMES
