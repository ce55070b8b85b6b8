"""What is corrected in pages: data that single services write (`adapters`), and URLs in the
attributes of any page (`attributes`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..urls import View


class PageAdapter(NamedTuple):
    """How the pages of one service are corrected.

    name: for the log.
    marker: bytes that stand in this service's pages, and hardly in others; they are looked for.
    adapt: called with the document and the `View`, returns the document to send. Of a document
        that appears piece by piece it gets what comes first. It must be quick in the size of the
        document, which may be hostile. If it raises, or returns anything but bytes, that is logged
        and the document is sent as it came.
    """

    name: str
    marker: bytes
    adapt: Callable[[bytes, View], bytes]
