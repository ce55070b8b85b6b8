"""Pages that cannot work under a path are recognised, and no other pages."""

from __future__ import annotations

import pytest

from wsgi_portproxy.rewrite.pages.kinds import KINDS, kind_of

from .given import costs_little

DASH = b"""<meta property="twitter:card" content="summary_large_image">
<script id="_dash-config" type="application/json">{"requests_pathname_prefix":"\\u002f"}</script>"""
MESOP = b"<script>window.__MESOP_BASE_URL_PATH__ = '';</script>"
OPTUNA = b"""<script defer src="/static/bundle.js"></script>
<div id="dashboard"><div class="optuna-loading-wrapper"></div></div>"""
EVIDENTLY = b"""<title>Evidently - ML Monitoring Demo</title>
<script type="module" crossorigin src="/static/js/index-BVvVAX8f.js"></script>"""

PAGES = {
    "Dash with use_pages=True": DASH,
    "Mesop": MESOP,
    "Optuna Dashboard": OPTUNA,
    "Evidently": EVIDENTLY,
}


def test_each_kind_has_a_page_here() -> None:
    assert PAGES.keys() == {kind.name for kind in KINDS}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_of_its_kind(name: str) -> None:
    kind = kind_of(b"<!doctype html>" + PAGES[name])
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<p>Dash, Mesop, Optuna Dashboard, Evidently</p>",
        # A service that knows its base path works.
        DASH.replace(b"\\u002f", b"\\u002falice\\u002fvision\\u002fproxy\\u002f16006\\u002f"),
        MESOP.replace(b"''", b"'/alice/vision/proxy/16006'"),
        # Without pages, Dash does not care about the path.
        DASH.replace(b"twitter:card", b"description"),
        DASH.replace(b"_dash-config", b"config"),
    ],
)
def test_other_pages_are_of_none(page: bytes) -> None:
    assert kind_of(page) is None


@pytest.mark.parametrize("name", PAGES)
def test_the_advice_says_what_helps_here(name: str) -> None:
    kind = kind_of(PAGES[name])
    assert kind is not None
    advice = kind.advice("/alice/vision/proxy/16006", 16006)
    assert name in advice
    assert "UrlForms(host_template=" in advice
    assert ("/alice/vision/proxy/16006" in advice) == bool(kind.remedy)
    assert "{" not in advice.replace("{port+10000}", "")


@pytest.mark.parametrize("page", PAGES.values())
def test_a_hostile_page_takes_linear_time(page: bytes) -> None:
    with costs_little():
        kind_of(page[:-1] * (1_000_000 // len(page)))
