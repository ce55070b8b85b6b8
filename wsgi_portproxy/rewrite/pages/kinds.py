"""Recognises pages that cannot work under a path, by data that their scripts need.

Their scripts read the visitor's whole path, so no adapter of the page helps. Such a service needs a
root of its own, or its own setting for a base path. The signs are what the service's scripts depend
on (an element's id, a key of its configuration), not titles or server names, which users choose and
releases change.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of page.

    name: of the software. signs: patterns that all occur in its pages, as long as it does not know
    its base path; each must take linear time. remedy: how the service is told its base path, with
    `{prefix}`; "": it cannot be.
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


KINDS: tuple[Kind, ...] = (
    # Its server compares the browser's path with its own prefix. Only such apps write a card.
    Kind(
        "Dash with use_pages=True",
        (
            rb'id="_dash-config"',
            rb'"requests_pathname_prefix":"(?:/|\\u002f)"',
            rb'="twitter:card"',
        ),
        "DASH_REQUESTS_PATHNAME_PREFIX={prefix}/ DASH_ROUTES_PATHNAME_PREFIX=/ in its environment",
    ),
    # Its page sends the browser's path to its server.
    Kind("Evidently", (rb"<title>Evidently - ML Monitoring", rb'src="/static/js/')),
    Kind(
        "Mesop",
        (rb"__MESOP_BASE_URL_PATH__ = (?:''|\"\")",),
        "MESOP_BASE_URL_PATH={prefix} in its environment, and Service(strip_prefix=False)",
    ),
    Kind("Optuna Dashboard", (rb'"optuna-loading-wrapper"', rb'src="/static/')),
)


def kind_of(document: bytes) -> Kind | None:
    """The kind of a page that cannot work under a path; None for all others."""
    return next(
        (kind for kind in KINDS if all(re.search(sign, document) for sign in kind.signs)), None
    )
