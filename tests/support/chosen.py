"""Several apps on one server: a field of each request chooses the one that gets it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def settings(name: str) -> list[tuple[str, str]]:
    """The field that chooses the app of this name."""
    return [("X-Settings", name)]


def choosing(apps: Mapping[str, WSGIApplication]) -> WSGIApplication:
    """The apps as one; without the field it is the first of them."""
    first = next(iter(apps))

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return apps[environ.get("HTTP_X_SETTINGS", first)](environ, start_response)

    return application
