"""Defines page adapters, which correct the pages of services.

`adapters` corrects data that particular services write, and `attributes` the URLs in the attributes
of any page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..urls import UrlMapper


class Page:
    """A service's page, as a page adapter sees it. Only our own page adapters may use `urls`."""

    __slots__ = ("urls",)

    def __init__(self, urls: UrlMapper) -> None:
        self.urls = urls

    @property
    def port(self) -> int:
        """The service's port."""
        return self.urls.target.port

    @property
    def prefix(self) -> str:
        """The visitor's path of the service's root, without a final slash; "" in the host form."""
        return self.urls.target.prefix

    @property
    def url(self) -> str:
        """The visitor's absolute URL of the service's root, without a final slash."""
        return self.urls.visited.origin + self.urls.target.prefix

    def map(self, url: str) -> str:
        """The visitor's URL for a URL that the service wrote; a foreign URL stays as it is."""
        return self.urls.to_visitor(url)


@dataclass(frozen=True, slots=True)
class PageAdapter:
    """How the pages of one service are corrected.

    name: for the log.
    marker: bytes that occur in this service's pages and rarely in others; other documents are not
        adapted.
    adapt: called with the document and the `Page`; returns the document to send. Of a document
        that arrives piece by piece, it gets the beginning. It must be fast for documents of any
        size, since they may be hostile. If it raises, or does not return bytes, the error is logged
        and the document is sent unchanged.
    request_headers: headers to send to the service with browsers' requests, except those for
        scripts, styles, images, fonts and media: by name, a callable that takes the `Page` and
        returns the value.
    """

    name: str
    marker: bytes
    adapt: Callable[[bytes, Page], bytes]
    request_headers: Mapping[str, Callable[[Page], str]] = field(default_factory=dict)
