"""Builds our error responses: HTML, JSON or plain text, by the request's Accept.

Defines their format and design; `errors` defines the texts. Every value is escaped again here, and
a Content-Security-Policy allows the page to run only the script in this file.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from webob import Response

from ..errors import (
    AuthorizerFailed,
    AuthorizerMisused,
    IPv6Only,
    PortProxyError,
    ServiceUnreachable,
    SettingFailed,
)
from ..locate.browser import preferred_type
from ..metrics import loggable
from ..names import log

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

#: Marks the 502 for a service that is not running. The waiting page reloads at any other response.
MARKER = ("X-Portproxy-Error", "unreachable")

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #566072; --line: #dde2ea;
  --paper: #f5f7fa; --card: #fff; --code: #f0f3f7; --accent: #2563eb; --tint: #edf3ff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b5; --line: #2c3442;
  --paper: #11151c; --card: #191f29; --code: #222a36; --accent: #7aa5ff; --tint: #1b2740; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { width: 100%; max-width: 42rem; padding: 2rem 2.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; }
h1 { margin: 0 0 .75rem; font-size: 1.4rem; line-height: 1.3; font-weight: 650; }
p { margin: 0 0 1rem; }
main > :last-child { margin-bottom: 0; }
.soft { color: var(--soft); }
.live { display: flex; align-items: baseline; gap: .75rem; margin: 1.25rem 0 1.5rem;
  padding: .7rem 1rem; border-radius: .5rem; background: var(--tint); }
.dot { flex: none; width: .65rem; height: .65rem; border-radius: 50%; background: var(--accent);
  animation: pulse 1.6s ease-in-out infinite; transform: translateY(-.05rem); }
@keyframes pulse { 50% { opacity: .25; } }
@media (prefers-reduced-motion: reduce) { .dot { animation: none; } }
code { font: .875rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1rem;
  align-items: baseline; }
dt { color: var(--soft); font-size: .925rem; }
dd { margin: 0; min-width: 0; }
dd code { display: block; padding: .35rem .6rem; border-radius: .375rem; background: var(--code);
  overflow-wrap: anywhere; }
dd span { white-space: nowrap; }
@media (max-width: 34rem) { main { padding: 1.5rem; } dl { grid-template-columns: 1fr;
  gap: .25rem; } dd { margin-bottom: .5rem; } }
"""

# Sends HEAD requests for the same URL, judged by the same authorizer. Any response except our own
# 502 ends the waiting: the service's, or a login page because the session has ended. A hidden tab
# sends nothing, and tries at once when it is shown again.
_SCRIPT = """
(function () {
  var text = document.getElementById("live");
  var since = Date.now();
  var timer = setTimeout(look, 1000);
  var asking = false;
  function say(news) {
    if (text.textContent !== news) { text.textContent = news; }
  }
  function wait(news) {
    say(news);
    asking = false;
    timer = setTimeout(look, Date.now() - since < 60000 ? 1000 : 4000);
  }
  function look() {
    if (asking || document.hidden) { return; }
    asking = true;
    clearTimeout(timer);
    fetch(location.href, { method: "HEAD", cache: "no-store", redirect: "manual",
      headers: { "Accept": "text/plain" } }).then(function (response) {
      if (response.headers.get("X-Portproxy-Error") === "unreachable") {
        wait("Waiting. This page will open the service as soon as it responds.");
      } else {
        say("The service is up. Opening it\\u2026");
        location.reload();
      }
    }, function () {
      wait("This application is not responding at the moment. Still trying.");
    });
  }
  document.addEventListener("visibilitychange", look);
})();
"""

_EXAMPLES = (
    ("TensorBoard", "tensorboard --logdir=./logs --port={port}"),
    ("JupyterLab", "jupyter lab --port={port} --ip=127.0.0.1 --no-browser"),
    ("MLflow", "mlflow ui --port={port} --host=127.0.0.1"),
    ("Streamlit", "streamlit run app.py --server.port={port}"),
    ("Your own", "uvicorn main:app --host 127.0.0.1 --port {port}"),
    ("Files", "python3 -m http.server {port}"),
)

# For services that listen on [::1] only, mostly Node tools.
_IPV4_EXAMPLES = (
    ("Vite", "npx vite --host 127.0.0.1 --port {port}"),
    ("Next.js", "npx next dev --hostname 127.0.0.1 --port {port}"),
    ("Node", 'server.listen({port}, "127.0.0.1")'),
    ("Files", "python3 -m http.server {port} --bind 127.0.0.1"),
)


def error_response(
    error: PortProxyError, environ: WSGIEnvironment, port: int | None
) -> WSGIApplication:
    """`error` as a WSGI application, in the format that the request's Accept prefers."""
    status = HTTPStatus(error.status)
    response = Response(status=f"{status.value} {status.phrase}")
    kind = preferred_type(environ.get("HTTP_ACCEPT", ""))
    if kind == "text/html":
        waits = isinstance(error, ServiceUnreachable) and environ["REQUEST_METHOD"] == "GET"
        response.text = _waiting_page(error, port or 0) if waits else _plain_page(error, status)
        response.headers["Content-Security-Policy"] = _POLICY
    elif kind == "application/json":
        response.content_type, response.charset = kind, None
        response.body = json.dumps(_as_dict(error, port)).encode("utf-8")
    else:
        response.content_type = kind
        response.text = "\n".join(filter(None, [error.message, error.hint])) + "\n"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(error.headers)
    if isinstance(error, ServiceUnreachable):
        response.headers[MARKER[0]] = MARKER[1]
    application: WSGIApplication = response
    return application


def _as_dict(error: PortProxyError, port: int | None) -> dict[str, object]:
    return {"status": error.status, "error": error.message, "hint": error.hint, "port": port}


def _waiting_page(error: PortProxyError, port: int) -> str:
    elsewhere = isinstance(error, IPv6Only)
    heading = f"Nothing is running on port {port} yet"
    todo = "Start a service on this port, on the same machine as this application:"
    if elsewhere:
        heading = f"The service on port {port} cannot be reached yet"
        todo = "Start it on 127.0.0.1, on the same machine as this application, for instance:"
    rows = "\n".join(
        f"<dt>{html.escape(name)}</dt><dd><code>{_command(command.format(port=port))}</code></dd>"
        for name, command in (_IPV4_EXAMPLES if elsewhere else _EXAMPLES)
    )
    return _page(
        f"Waiting for port {port}",
        heading,
        f"""<p>{html.escape(error.message)}<br>{html.escape(error.hint)}</p>
<p class="live" role="status"><span class="dot"></span><span id="live">Waiting. This page will \
open the service as soon as it responds.</span></p>
<p class="soft">{html.escape(todo)}</p>
<dl>
{rows}
</dl>
<script>{_SCRIPT}</script>""",
        head='<noscript><meta http-equiv="refresh" content="5"></noscript>\n',
    )


def _command(command: str) -> str:
    """A command line that wraps only between words, not after the hyphens of an option."""
    return " ".join(f"<span>{html.escape(word)}</span>" for word in command.split())


def _plain_page(error: PortProxyError, status: HTTPStatus) -> str:
    hint = f'\n<p class="soft">{html.escape(error.hint)}</p>' if error.hint else ""
    return _page(
        status.phrase,
        status.phrase,
        f"<p>{html.escape(error.message)}</p>{hint}",
    )


def _page(title: str, heading: str, content: str, *, head: str = "") -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
{head}<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(heading)}</h1>
{content}
</main>
</body>
</html>
"""


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def log_error(error: PortProxyError) -> None:
    """Log why a request was not served, with a traceback if the deployment is at fault."""
    cause = None
    level = logging.WARNING if error.status >= 500 else logging.INFO
    if isinstance(error, (AuthorizerFailed, AuthorizerMisused, SettingFailed)):
        level, cause = logging.ERROR, error.__cause__
    text = loggable(error.detail or error.message)
    service = error.log_extra.get("service")
    log.log(
        level,
        "port %s%s: %d %s",
        error.port,
        f" ({service})" if service else "",
        error.status,
        text,
        exc_info=cause,
        extra={"port": error.port, "status": error.status, **error.log_extra},
    )
