"""The test app with what limits services and visitors, and what is told of each request, printed.

`python -m tests.support.limitsapp NAME PORT` serves `default`, which sets no cap of its own, with
one of the servers whose threads are counted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsgi_portproxy import Limits, PortProxy, RequestMetrics, Service, Timeouts
from wsgi_portproxy.policy import concurrency as caps

from . import run_server
from .hostapp import HOSTS, MOUNT, app, may_view
from .notes import say
from .streamapp import of_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY = 1000  # bytes
IDLE = 3.0  # seconds: `Timeouts.stream_idle`
HEAD = 1.5  # seconds: the timeouts of `hasty`

# Seconds, for tests in which a request that waits for its turn would only cost time.
caps.PATIENCE = float(os.environ.get("PATIENCE", caps.PATIENCE))


class _Json(logging.Formatter):
    """A record as JSON, with all that `extra` put into it."""

    _OWN = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in self._OWN}
        text = record.getMessage()
        return "record " + json.dumps({"level": record.levelname, "text": text, **extra})


logger = logging.getLogger("wsgi_portproxy")
logger.handlers = [logging.StreamHandler(sys.stderr)]
logger.handlers[0].setFormatter(_Json())
logger.setLevel(logging.DEBUG)


def tell(metrics: RequestMetrics) -> None:
    say("metrics " + json.dumps(asdict(metrics)))


def fail(metrics: RequestMetrics) -> None:
    tell(metrics)
    raise RuntimeError("the hook's own")


def _proxy(**settings: Any) -> PortProxy:
    settings = {"timeouts": Timeouts(connect=1.0, head=30.0), "on_finished": tell, **settings}
    return PortProxy(app, authorizer=may_view, mount=MOUNT, hosts=HOSTS, **settings)


PATIENT = Timeouts(connect=1.0, head=30.0, stream_idle=IDLE)

default = _proxy()
named = Service(name="Echo")
limited = _proxy(
    limits=Limits(request_body=MAX_BODY), timeouts=PATIENT, detach_after=0.5, services=named
)
staying = _proxy(limits=Limits(request_body=MAX_BODY), timeouts=PATIENT, detach_after=None)
hasty = _proxy(timeouts=Timeouts(connect=HEAD, head=HEAD), detach_after=None)
quiet = _proxy(detach_after=None)
failing = _proxy(on_finished=fail)

# Several in one process: by the port of it that is asked, "8001=limited,8002=staying".
_named = [pair.split("=") for pair in os.environ.get("VARIANTS", "").split(",") if pair]
_by_port: dict[str, PortProxy] = {port: globals()[name] for port, name in _named}


def by_port(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return _by_port.get(environ["SERVER_PORT"], default)(environ, start_response)


if __name__ == "__main__":
    if sys.argv[1] == "uwsgi":
        run_server.APPLICATION = "tests.support.limitsapp:default"
        run_server.uwsgi(int(sys.argv[2]), "--threads", "4", "--http-socket")
    of_server(sys.argv[1], int(sys.argv[2]), default)
