"""Corrects pages: base URLs that single services write as data (`adapters`), and URLs in the
attributes of any page (`attributes`). Which pages, `respond.documents` decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..urls import View


class PageAdapter(NamedTuple):
    """How the pages of one service are corrected.

    name: for the log.
    marker: bytes that occur in this service's pages and hardly in others. Documents without them
        are skipped.
    adapt: called with the document and the `View`; returns the document to send. Of a document that
        arrives piece by piece it gets only the beginning. It must run in linear time, since the
        document may be hostile. If it raises, or returns anything but bytes, that is logged and the
        document is sent unchanged.
    """

    name: str
    marker: bytes
    adapt: Callable[[bytes, View], bytes]
