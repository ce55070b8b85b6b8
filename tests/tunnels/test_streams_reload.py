"""Streams and the reload of their worker: they are cut visibly, it does not wait, the next one
serves."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.conftest import ServiceFactory
from tests.support.procfs import children, has_ended
from tests.support.servers import gunicorn
from tests.support.streams import CHUNKED, LENGTH, Framing, StreamVisitor, leaving, stream_target
from tests.support.waiting import Steps, until

from .conftest import assert_clean

EVENT = b"data: tick\n\n"


@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=repr)
def test_a_reload_ends_streams_within_two_seconds(
    service: ServiceFactory, worker: str, framing: Framing
) -> None:
    threads = 4 if worker == "gthread" else 1
    with gunicorn("tests.support.streamapp:quick", worker=worker, threads=threads) as host:
        (old,) = children(host.pid)
        steps = Steps(framing.head(100, b"text/event-stream") + framing.encode(EVENT))
        target = stream_target(service(steps).port)
        with StreamVisitor(host.port) as visitor:
            visitor.ask(target)
            steps.go()
            leaving(host, target)
            begin = time.monotonic()
            os.kill(host.pid, signal.SIGHUP)
            reply = visitor.reply()
            assert (reply.body, reply.complete) == (EVENT, False)
            assert time.monotonic() - begin < 6  # 2 by design, the rest is for a busy machine
        until(lambda: has_ended(old), "the old worker is gone")
        again = Steps(framing.head(len(EVENT)) + framing.encode(EVENT) + framing.end)
        with StreamVisitor(host.port) as visitor:
            visitor.ask(stream_target(service(again).port))
            again.go(2)
            assert visitor.reply().complete
        assert_clean(host)
