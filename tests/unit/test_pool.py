"""Idle connections to services: how many there are, how old they get, and who is given one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wsgi_portproxy.upstream import descriptors
from wsgi_portproxy.upstream import pool as module
from wsgi_portproxy.upstream.connection import UpstreamConnection
from wsgi_portproxy.upstream.pool import MOST, OLDEST, IdleConnections, Lease

from .clock import Clock

SCARCE = 900  # descriptors from here on are left to others
PORT = 16006


class Connection:
    """One to a service; `silent`: nothing has come on it. Some fail when they are closed."""

    def __init__(self, port: int, *, descriptor: int = 7, fails: bool = False) -> None:
        self.port, self.fails = port, fails
        self.silent, self.closed = True, False
        self.sock = SimpleNamespace(fileno=lambda: descriptor, connection=self)

    def close(self) -> None:
        self.closed = True
        if self.fails:
            raise OSError("not connected")


class World(Clock):
    """Time that passes only when told to and while a thread waits, what others do `meanwhile`, and
    threads that are made but do not run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.sweeps: list[Callable[[], None]] = []
        self.has_threads = True
        monkeypatch.setattr(module, "time", self)
        fake = {"Lock": threading.Lock, "Condition": self.condition, "Thread": self.thread}
        monkeypatch.setattr(module, "threading", SimpleNamespace(**fake))
        is_silent = SimpleNamespace(is_silent=lambda sock: sock.connection.silent)
        monkeypatch.setattr(module, "recv", is_silent)
        monkeypatch.setattr(descriptors, "are_scarce", lambda fd: fd >= SCARCE)
        self.idle = IdleConnections()
        self.owner = self.idle.owner()

    def thread(self, *, target: Callable[[], None], **_: object) -> Any:
        def start() -> None:
            if not self.has_threads:
                raise RuntimeError("can't start new thread")
            self.sweeps.append(target)

        return SimpleNamespace(start=start)

    def put(self, port: int = PORT, owner: int | None = None, **kwargs: Any) -> Connection:
        made = Connection(port, **kwargs)
        self.put_again(made, self.owner if owner is None else owner)
        return made

    def put_again(self, made: Connection, owner: int) -> None:
        self.idle.put(Lease(cast("UpstreamConnection", made), owner))

    def take(self, port: int = PORT, owner: int | None = None) -> Connection | None:
        taken = self.idle.take(self.owner if owner is None else owner, port)
        return None if taken is None else cast("Connection", taken.connection)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def closed(connections: Iterable[Connection]) -> list[bool]:
    return [one.closed for one in connections]


def test_the_one_that_was_used_last_is_taken_first_and_once(world: World) -> None:
    first, second = world.put(), world.put()
    assert [world.take(), world.take(), world.take()] == [second, first, None]
    assert closed([first, second]) == [False, False]


def test_nobody_is_given_anothers_or_one_to_another_port(world: World) -> None:
    other = world.idle.owner()
    mine, theirs = world.put(), world.put(owner=other)
    world.put(PORT + 1)
    assert world.take(PORT + 2) is None
    assert (world.take(), world.take()) == (mine, None)
    assert (world.take(owner=other), len(world.idle)) == (theirs, 1)


def test_one_on_which_something_came_is_closed_instead(world: World) -> None:
    """Be it its end: whatever came belongs to no request."""
    good, planted, ended = world.put(), world.put(), world.put()
    planted.silent = ended.silent = False
    assert world.take() is good
    assert closed([good, planted, ended]) == [False, True, True]
    assert len(world.idle) == 0


def test_there_are_so_many_over_all_ports_and_the_oldest_goes(world: World) -> None:
    made = [world.put(PORT + number, fails=number == 3) for number in range(MOST + 5)]
    assert closed(made) == [True] * 5 + [False] * MOST
    assert len(world.idle) == MOST == 64
    assert world.take(PORT + 4) is None
    assert world.take(PORT + 5) is made[5]


def test_none_is_taken_that_is_too_old(world: World) -> None:
    old = world.put()
    world.now += OLDEST - 1
    young = world.put()
    world.now += 1
    assert world.take(PORT + 1) is None
    assert closed([old, young]) == [True, False]
    assert (world.take(), world.take(), OLDEST) == (young, None, 10.0)


def test_one_that_is_used_again_begins_anew(world: World) -> None:
    world.put()
    world.now += OLDEST - 1
    again = world.take()
    assert again is not None
    world.put_again(again, world.owner)
    world.now += OLDEST - 1
    assert world.take() is again


def test_they_are_closed_in_time_though_nobody_comes(world: World) -> None:
    made = [world.put()]
    world.now += 4
    made.append(world.put())
    [sweep] = world.sweeps  # one thread for all
    sweep()  # returns when there are none left
    assert closed(made) == [True, True]
    assert world.now == 1000.0 + 4 + OLDEST
    world.put()
    assert len(world.sweeps) == 2


def end_all(world: World) -> None:
    world.idle.close_all()


def end_the_owners(world: World) -> None:
    world.idle.disown(world.owner)


@pytest.mark.parametrize("end", [end_all, end_the_owners])
def test_where_none_are_left_nobody_waits_for_them(
    world: World, end: Callable[[World], None]
) -> None:
    world.put()
    world.meanwhile = [lambda: end(world)]
    world.sweeps[0]()
    assert (world.notified, world.now) == (1, 1000.0)
    world.put(owner=world.idle.owner())
    assert len(world.sweeps) == 2  # another one is begun with them


def test_one_that_is_put_meanwhile_has_its_own_time(world: World) -> None:
    made = [world.put()]
    world.meanwhile = [lambda: setattr(world, "now", 1005.0), lambda: made.append(world.put())]
    world.sweeps[0]()
    assert closed(made) == [True, True]
    assert (world.now, len(world.sweeps)) == (1005.0 + OLDEST, 1)


def test_without_another_thread_the_next_request_closes_them(world: World) -> None:
    world.has_threads = False
    old = world.put()
    world.now += OLDEST
    assert world.take() is None
    assert old.closed
    world.has_threads = True
    world.put()
    assert len(world.sweeps) == 1


@pytest.mark.parametrize(("descriptor", "is_kept"), [(SCARCE - 1, True), (SCARCE, False)])
def test_where_descriptors_are_scarce_none_is_kept(
    world: World, descriptor: int, is_kept: bool
) -> None:
    first, second = world.put(), world.put(descriptor=descriptor)
    assert closed([first, second]) == [False, not is_kept]
    assert len(world.idle) == 1 + is_kept


def test_who_needs_descriptors_is_given_all_of_theirs(world: World) -> None:
    made = [world.put(PORT + number, world.idle.owner(), fails=True) for number in range(3)]
    assert world.idle.close_all()
    assert closed(made) == [True] * 3
    assert not world.idle.close_all()


def test_those_of_a_closed_one_are_closed_and_no_more_are_kept(world: World) -> None:
    other = world.idle.owner()
    mine, theirs = world.put(), world.put(owner=other)
    world.idle.disown(world.owner)
    assert closed([mine, theirs, world.put()]) == [True, False, True]
    assert world.take(owner=other) is theirs
    world.idle.disown(world.owner)  # twice is once
    assert world.idle.owner() not in (world.owner, other)


def test_a_child_does_not_keep_its_parents(world: World) -> None:
    mine = world.put()
    world.idle._lock.acquire()  # another thread's, which the child has not
    world.idle.forget()
    assert (mine.closed, len(world.idle)) == (True, 0)
    own = world.put()
    assert (world.take(), len(world.sweeps)) == (own, 2)


def test_an_owner_that_goes_while_the_lock_is_held_does_not_wait_for_it() -> None:
    """As the garbage collector has it: in the very thread that holds the lock."""
    idle = IdleConnections()
    owner = idle.owner()
    with idle._lock:
        idle.disown(owner)
    assert owner not in idle._owners
