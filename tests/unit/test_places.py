"""Places for tunnels: in all, and to each port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from wsgi_portproxy.tunnel.places import Places

A, B, C = 15000, 15001, 15002


@pytest.mark.parametrize(
    ("limit", "limit_of_port", "asked", "given"),
    [
        (3, 3, [A, A, A, A], [True, True, True, False]),
        (3, 2, [A, A, A, B, B, C], [True, True, False, True, False, False]),
        (8, 2, [A, A, A, B, A, C], [True, True, False, True, False, True]),
        (2, 9, [A, B, C], [True, True, False]),
        (0, 9, [A], [False]),
        (9, 0, [A, B], [False, False]),
    ],
)
def test_there_are_so_many(
    limit: int, limit_of_port: int, asked: list[int], given: list[bool]
) -> None:
    places = Places()
    taken = [places.take(port, limit=limit, limit_of_port=limit_of_port) for port in asked]
    assert taken == given
    assert places.taken == sum(given)
    for port in (A, B, C):
        kept = [port == one and is_given for one, is_given in zip(asked, given, strict=True)]
        assert places.taken_to(port) == sum(kept)


def test_one_that_is_given_back_is_for_another() -> None:
    places = Places()
    for port in (A, A, B):
        assert places.take(port, limit=3, limit_of_port=2)
    places.give_back(A)
    assert (places.taken, places.taken_to(A), places.taken_to(B)) == (2, 1, 1)
    assert places.take(A, limit=3, limit_of_port=2)
    assert not places.take(C, limit=3, limit_of_port=2)


def test_ports_that_had_tunnels_do_not_pile_up() -> None:
    places = Places()
    for port in range(10000, 10100):
        assert places.take(port, limit=1, limit_of_port=1)
        assert places.taken_to(port) == 1
        places.give_back(port)
        assert not places.take(port, limit=1, limit_of_port=0)
        assert places.taken_to(port) == places.taken == 0
    assert len(places._by_port) == 0


def test_threads_never_take_more_than_there_are() -> None:
    places = Places()

    def take(port: int) -> bool:
        return places.take(port, limit=25, limit_of_port=10)

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(take, [A, B, C] * 200))
    assert sum(given) == places.taken == 25
    assert max(places.taken_to(port) for port in (A, B, C)) <= 10
