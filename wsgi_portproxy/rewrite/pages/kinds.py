"""Recognises pages that cannot work under a path, by data that their scripts need.

Their scripts read the visitor's whole path, so no adapter of the page helps. Such a service needs a
root of its own, or its own setting for a base path. The signs are what the service's scripts depend
on (an element's id, a key of its configuration), not titles or server names, which users choose and
releases change.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of page.

    name: of the software. signs: bytes that all occur in its pages, as long as it does not know its
    base path. remedy: how the service is told its base path, with `{prefix}`; "": it cannot be.
    """

    name: str
    signs: tuple[bytes, ...]
    remedy: str = ""

    def advice(self, prefix: str, port: int) -> str:
        """What a person can do who wants the page to work."""
        remedy = self.remedy.format(prefix=prefix, port=port)
        told = f"start it with {remedy}, or " if remedy else ""
        return (
            f"pages of {self.name} do not work under a path: {told}give services a root of their "
            "own, UrlForms(host_template=':{port+10000}')"
        )


#: With the default flags of each.
KINDS: tuple[Kind, ...] = ()


def kind_of(document: bytes) -> Kind | None:
    """The kind of a page that cannot work under a path; None for all others. Takes linear time."""
    return next((kind for kind in KINDS if all(sign in document for sign in kind.signs)), None)
