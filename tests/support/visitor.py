"""A browser of sorts: it keeps cookies and sends forms. Redirects and errors are answers too."""

from __future__ import annotations

import http.client
import http.cookiejar
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def location(self) -> str:
        """Path and query of the Location header."""
        parts = urllib.parse.urlsplit(self.headers["Location"])
        return urllib.parse.urlunsplit(("", "", *parts[2:]))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class _AsItIs(urllib.request.HTTPDefaultErrorHandler):
    def http_error_default(self, req: Any, fp: Any, code: int, msg: str, hdrs: Any) -> Any:
        return fp


class Visitor:
    """`follow`: by itself where a redirect leads."""

    def __init__(self, site: str, *, follow: bool = False) -> None:
        self.site = site
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            _AsItIs,
            urllib.request.ProxyHandler({}),  # whatever http_proxy says
            urllib.request.HTTPCookieProcessor(self.cookies),
            *([] if follow else [_Stay]),
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers=headers)

    def submit(self, path: str, fields: Mapping[str, str], *, page: str | None = None) -> Answer:
        """Send a form to `path`, with the CSRF token of the page that it is on, if it has one."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page or path).text)
        data = {**fields, **({"csrfmiddlewaretoken": token[1]} if token else {})}
        return self.send("POST", path, urllib.parse.urlencode(data).encode())

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        request = urllib.request.Request(
            self.site + path, method=method, data=body, headers=dict(headers or {})
        )
        with self._opener.open(request, timeout=3 * PATIENCE) as response:
            return Answer(response.status, response.headers, response.read().decode())
