"""Serve the test app with one of the WSGI servers of the support matrix, until SIGTERM.

`python -m tests.support.run_server NAME PORT [CERTIFICATE KEY]`. Each server is imported where it
is run: none of them, nor its types, is needed by the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

APPLICATION = "tests.support.hostapp:application"
THREADS = 4  # where a server has a pool of them


def application() -> WSGIApplication:
    module, _, name = APPLICATION.partition(":")
    loaded: WSGIApplication = getattr(import_module(module), name)
    return loaded


def gunicorn(port: int, worker: str, *options: str) -> None:
    sys.argv = ["gunicorn", "-k", worker, "-b", f"127.0.0.1:{port}", "--access-logfile", "-"]
    sys.argv += [*options, APPLICATION]
    import_module("gunicorn.app.wsgiapp").run()


def gunicorn_gthread(port: int, *options: str) -> None:
    gunicorn(port, "gthread", "--threads", str(THREADS), *options)


def gunicorn_tls(port: int, certificate: str, key: str) -> None:
    gunicorn_gthread(port, "--certfile", certificate, "--keyfile", key)


def werkzeug(port: int) -> None:
    import_module("werkzeug.serving").run_simple("127.0.0.1", port, application(), threaded=True)


def waitress(port: int, **settings: int) -> None:
    serve = import_module("waitress").serve
    serve(application(), host="127.0.0.1", port=port, threads=THREADS, **settings)


def cheroot(port: int) -> None:
    server = import_module("cheroot.wsgi").Server
    server(("127.0.0.1", port), application(), numthreads=THREADS).start()


def gevent_pywsgi(port: int) -> None:
    import_module("gevent.monkey").patch_all()
    server = import_module("gevent.pywsgi").WSGIServer
    server(("127.0.0.1", port), application()).serve_forever()


def uwsgi(port: int, *options: str, module: str = "") -> None:
    arguments = ["--module", module or APPLICATION, "--need-app", "--home", sys.prefix]
    arguments.append("--die-on-term")
    import_module("pyuwsgi").run([*options, f"127.0.0.1:{port}", *arguments])


SERVERS: dict[str, Callable[..., None]] = {
    "gunicorn-sync": lambda port: gunicorn(port, "sync"),
    "gunicorn-gthread": gunicorn_gthread,
    "gunicorn-gevent": lambda port: gunicorn(port, "gevent"),
    "gunicorn-gthread-tls": gunicorn_tls,
    "werkzeug": werkzeug,
    "waitress": waitress,
    "waitress-lookahead": lambda port: waitress(port, channel_request_lookahead=5),
    "cheroot": cheroot,
    "gevent-pywsgi": gevent_pywsgi,
    "uwsgi-threads": lambda port: uwsgi(port, "--enable-threads", "--http-socket"),
    "uwsgi": lambda port: uwsgi(port, "--http-socket"),
    "uwsgi-router": lambda port: uwsgi(port, "--enable-threads", "--http-websockets", "--http"),
}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
