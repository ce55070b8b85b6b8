"""What is corrected in pages: data that single services write (`adapters`), and URLs in the
attributes of any page (`attributes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..urls import UrlMapper


class Page:
    """A service's page, as an adapter sees it. `urls` is not for adapters of others."""

    __slots__ = ("urls",)

    def __init__(self, urls: UrlMapper) -> None:
        self.urls = urls

    @property
    def port(self) -> int:
        """The service's port."""
        return self.urls.target.port

    @property
    def prefix(self) -> str:
        """The visitor's path of the service's root, without a final slash: "" at a host name of its
        own."""
        return self.urls.target.prefix

    @property
    def url(self) -> str:
        """The visitor's absolute URL of the service's root, without a final slash."""
        return self.urls.origin + self.prefix

    def map(self, url: str) -> str:
        """The visitor's URL for one that the service wrote; a foreign URL stays as it is."""
        return self.urls.to_visitor(url)


@dataclass(frozen=True, slots=True)
class PageAdapter:
    """How the pages of one service are corrected.

    name: for the log.
    marker: bytes that stand in this service's pages, and hardly in others; they are looked for.
    adapt: called with the document and the `Page`, returns the document to send. Of a document
        that appears piece by piece it gets what comes first. It must be quick in the size of the
        document, which may be hostile. If it raises, or returns anything but bytes, that is logged
        and the document is sent as it came.
    request_headers: headers that the service is sent with what browsers ask for: by name a callable
        that is given the `Page` and returns the value.
    """

    name: str
    marker: bytes
    adapt: Callable[[bytes, Page], bytes]
    request_headers: Mapping[str, Callable[[Page], str]] = field(default_factory=dict)
