"""The test app on any server: few threads, requests that leave them, visitors who lose access.

`python -m tests.support.waitingapp NAME PORT`: with a server of `run_server`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from webob import Request

from wsgi_portproxy import Allowed, Limits, PortProxy, Target, Timeouts, Withhold
from wsgi_portproxy.tunnel import relay as relay_module

from . import run_server
from .chosen import choosing
from .hostapp import HOSTS, MOUNT, app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

RECHECK = 0.4  # seconds: `recheck_after` of "asking" and "staying"
HEAD = 1.5  # seconds: the timeout of "hurried"
MAX_BODY = 1000  # bytes: the limit of "limited"

# Seconds: a test that wants others for the relay of its host sets them in the environment.
for _name in ("DRAIN_WAITING", "DRAIN"):
    setattr(relay_module, _name, float(os.environ.get(_name, getattr(relay_module, _name))))

_handler = logging.StreamHandler(sys.stderr)
_handler.setFormatter(logging.Formatter("portproxy %(levelname)s %(message)s"))
logging.getLogger("wsgi_portproxy").addHandler(_handler)
logging.getLogger("wsgi_portproxy").setLevel(logging.INFO)

_forbidden: set[str] = set()
_failing: set[str] = set()


def may_view(request: Request, target: Target) -> bool | Allowed:
    """By the cookie `user`, until somebody forbids it."""
    user = request.cookies.get("user", "")
    if user in _failing:
        raise RuntimeError("a database is down")
    return Allowed(user) if user and user not in _forbidden else False


def _pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The app with pages more: /forbid?user=bob, /allow?user=bob, /fail?user=bob, and
    /revoke?user=bob&port=16006&username=alice, each of them optional, which tells how many."""
    given = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    page, answer = environ["PATH_INFO"], "done"
    if page == "/forbid":
        _forbidden.add(given["user"])
    elif page == "/fail":
        _failing.add(given["user"])
    elif page == "/allow":
        _forbidden.discard(given["user"])
        _failing.discard(given["user"])
    elif page == "/revoke":
        port = given.pop("port", None)
        visitor = given.pop("user", None)
        number = None if port is None else int(port)
        answer = str(
            sum(proxy.revoke(port=number, visitor=visitor, **given) for proxy in _apps.values())
        )
    else:
        return app(environ, start_response)
    body = answer.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _proxy(**settings: Any) -> PortProxy:
    settings = {"timeouts": Timeouts(head=30.0), "recheck_after": None, **settings}
    return PortProxy(_pages, authorizer=may_view, mount=MOUNT, hosts=HOSTS, **settings)


_apps = {
    "plain": _proxy(withhold=Withhold(early_hints=False)),
    "hurried": _proxy(timeouts=Timeouts(head=HEAD)),
    "limited": _proxy(limits=Limits(request_body=MAX_BODY)),
    "asking": _proxy(recheck_after=RECHECK),
    "staying": _proxy(recheck_after=RECHECK, detach_after=None),
}
application = choosing(_apps)

if __name__ == "__main__":
    run_server.APPLICATION = "tests.support.waitingapp:application"
    run_server.SERVERS[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
