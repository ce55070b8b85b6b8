"""`python -m wsgi_portproxy`: a WSGI app behind `PortProxy` on werkzeug's development server.

For a first try and for development, on this machine only. Deployments wrap the app in code.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from werkzeug.serving import run_simple

from . import AskApp, Listen, PortProxy, UrlForms, __version__
from .locate.mount import Mount
from .locate.port_template import is_port_template
from .policy.hosts import LOOPBACK
from .policy.ports import DEFAULT_PORTS

# Below the ports from which Linux chooses for outgoing connections (32768 to 60999).
OFFSET = 10000
PORT_FORM = f":{{port+{OFFSET}}}"


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and serve until Ctrl-C."""
    options = _parser().parse_args(arguments)
    sys.path.insert(0, os.getcwd())
    app = _load(options.app)
    try:
        Mount(options.mount)  # first, so that its errors are reported first
        authorizer: Any = _load(options.authorizer) if options.authorizer != "ask" else None
        if authorizer is None:
            authorizer = AskApp(app, options.mount.rstrip("/") + "/")
        application = PortProxy(
            app,
            authorizer=authorizer,
            mount=options.mount,
            urls=_forms(options.host_template),
            ports=options.ports,
            hosts=LOOPBACK,
        )
    except (TypeError, ValueError) as error:
        raise SystemExit(f"wsgi_portproxy: {error}") from error
    first, last = min(options.ports), max(options.ports)
    print(f"Serving {options.app} on http://localhost:{options.port}/")
    print(
        f"Services on ports {first}-{last}: http://localhost:{options.port}{options.mount}/?port=N"
    )
    if options.host_template == PORT_FORM:
        print(f"Each opens at its own address: port {first} at http://localhost:{first + OFFSET}/")
    elif options.host_template is not None:
        print(f"Each opens at its own address: {options.host_template}")
    run_simple("127.0.0.1", options.port, application, threaded=True)


def _forms(template: str | None) -> UrlForms:
    if template is None or not is_port_template(template):
        return UrlForms(host_template=template)
    return UrlForms(host_template=template, listen=Listen())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wsgi_portproxy",
        description="Serve a WSGI app and the services on this machine's ports, to try things out. "
        "In a deployment, wrap the app in code and run it on gunicorn.",
    )
    parser.add_argument("app", help="the WSGI app, as module:attribute")
    parser.add_argument(
        "--authorizer",
        required=True,
        help="who may use a port: a callable(request, target) as module:attribute, or 'ask' to ask "
        "the app's own page",
    )
    parser.add_argument(
        "--mount",
        default="",
        help="the paths that ports belong to, such as /{username}/{project} (the whole app)",
    )
    parser.add_argument(
        "--host-template",
        metavar="TEMPLATE",
        type=lambda text: None if text == "none" else text,
        default=PORT_FORM,
        help=f"what gives each service its own address: another port of this machine, or a host "
        f"name such as {{port}}.localhost, or none ({PORT_FORM})",
    )
    parser.add_argument(
        "--ports",
        type=_port_range,
        default=DEFAULT_PORTS,
        metavar="FIRST-LAST",
        help="the allowed ports (10000-20000)",
    )
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on (8000)")
    parser.add_argument("--version", action="version", version=f"wsgi_portproxy {__version__}")
    return parser


def _port_range(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        ports = range(int(first), int(last or first) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise argparse.ArgumentTypeError(f"not a range of ports such as 10000-20000: {text!r}")
    return ports


def _load(name: str) -> Any:
    """The object that `module:attribute` names. Exits with a message if it does not exist."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise SystemExit(f"wsgi_portproxy: {name!r} is not of the form module:attribute")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise  # the module exists; something that it imports does not
        raise SystemExit(f"wsgi_portproxy: there is no module {module!r}") from error
    if not hasattr(loaded, attribute):
        raise SystemExit(f"wsgi_portproxy: {module!r} has no {attribute!r}")
    return getattr(loaded, attribute)


if __name__ == "__main__":
    main()
