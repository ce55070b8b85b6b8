"""Corrects base URLs that services write into their pages as data: the table of page adapters.

A script that builds URLs from such a value, or uses it as the root of its router, leaves the
service's prefix, and no mapping of headers prevents that: JupyterLab even moves the browser's
address out of it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from functools import partial

from . import Page, PageAdapter
from .attributes import IMPORTED_FROM_THE_ROOT, urls_in_attributes


def _in_json(names: bytes, document: bytes, begin: bytes, end: bytes, page: Page) -> bytes:
    """The document with the URLs under `names` (a pattern) mapped in the JSON from `begin` on."""
    start = document.find(begin)
    stop = document.find(end, start)
    if start < 0 or stop < 0:
        return document
    # A value ends at the next quote, so matches cannot overlap: linear time. The length is bounded,
    # since the matcher's state for a value takes a hundred times its memory.
    pattern = rb'("(?:%b)"\s*:\s*)("(?:[^"\\]|\\.){0,2000}")' % names
    data = re.sub(pattern, lambda match: match[1] + _mapped(match[2], page), document[start:stop])
    return document[:start] + data + document[stop:]


def _mapped(literal: bytes, page: Page) -> bytes:
    """A JSON string with its URL mapped to the visitor's; unchanged if it is not the service's."""
    try:
        url = json.loads(literal)
    except ValueError:
        return literal
    mapped = page.map(url)
    if not url.startswith(("/", "http:", "https:")) or mapped == url:
        return literal
    if not url.endswith("/") and "://" in url:
        mapped = mapped.rstrip("/")
    return _as_json(mapped)


def _as_json(text: str) -> bytes:
    # An unescaped `<` could end the script element (HTML standard, "script data state").
    return json.dumps(text).replace("<", "\\u003c").encode("ascii")


def jupyter(document: bytes, page: Page) -> bytes:
    """JupyterLab, Notebook 7, Voila: `baseUrl` and `full...Url`, the base of all their URLs."""
    names = rb"baseUrl|full[A-Za-z]{1,40}Url"
    return _in_json(names, document, b'id="jupyter-config-data"', b"</script>", page)


def jupyter_classic(document: bytes, page: Page) -> bytes:
    """Jupyter's older pages, including the login."""

    def mapped(match: re.Match[bytes]) -> bytes:
        url = html.unescape(match[1].decode("latin-1"))
        return b'data-base-url="%b"' % html.escape(page.map(url)).encode("latin-1")

    return re.sub(rb'data-base-url="(/[^"]{0,2000})"', mapped, document)


def dash(document: bytes, page: Page) -> bytes:
    """Dash: the paths under which its scripts request their data."""
    names = rb"requests_pathname_prefix|url_base_pathname"
    return _in_json(names, document, b'id="_dash-config"', b"</script>", page)


def gradio(document: bytes, page: Page) -> bytes:
    """Gradio: the URL to which its scripts send requests, made from the Host that it received."""
    return _in_json(rb"root", document, b"window.gradio_config", b"</script>", page)


def chainlit(document: bytes, page: Page) -> bytes:
    """Chainlit: the root path of its router, API and socket."""
    empty = b'<meta property="og:root_path" content="'
    place = html.escape(_root(page)).encode("latin-1")
    return document.replace(empty + b'"', empty + place + b'"', 1)


# --- Roots in scripts, or in data that scripts read ----------------------------------------------


def _root(page: Page) -> str:
    """The service's root as a path without a final slash; empty in the host form."""
    return page.map("/").rstrip("/")


def _root_and_slash(page: Page) -> str:
    return page.map("/")


def _root_url(page: Page) -> str:
    """The root as an absolute URL; empty without a prefix, since the page then finds it itself."""
    return page.url if page.prefix else ""


def _in_script(
    document: bytes, page: Page, *, begin: bytes, value: bytes, written: Callable[[Page], str]
) -> bytes:
    """The document with the first match of `value` in the script from `begin` on replaced.

    value: a pattern, with a group before and a group after the text to replace.
    written: returns the root in the form to insert.
    """
    start = document.find(begin)
    stop = document.find(b"</script>", start)
    if start < 0 or stop < 0:
        return document
    text = _as_json(written(page))[1:-1]
    data = re.sub(value, lambda match: match[1] + text + match[2], document[start:stop], count=1)
    return document[:start] + data + document[stop:]


def superset(document: bytes, page: Page) -> bytes:
    """Superset: the root of its API and its router, in JSON inside an attribute."""
    quote = rb"(?:&#34;|&quot;)"
    value = rb"(%b%b%b:\s?%b)/(%b)" % (quote, b"application_root", quote, quote, quote)
    root = html.escape(_root(page) or "/").encode("latin-1")
    return re.sub(value, lambda match: match[1] + root + match[2], document, count=1)


_REACT_ROUTES = b"window.__reactRouterManifest = {"


def react_router(document: bytes, page: Page) -> bytes:
    """React Router in framework mode: its root, and all routes at once.

    Its own setting `routeDiscovery: "initial"` also sends all routes at once. Otherwise its scripts
    request the routes behind a link by the visitor's path, where the service knows none. The page
    imports the same URLs as its modules.
    """
    value = rb'("basename"\s?:\s?")/(")'
    context = b"__reactRouterContext"
    document = _in_script(document, page, begin=context, value=value, written=_root_and_slash)
    begin = document.find(_REACT_ROUTES)
    start = document.rfind(b"<script", 0, max(begin, 0))
    end = document.find(b"</script>", begin)
    url = re.compile(rb'"url":\s?("/[^"\\]{1,500}")').search(document, begin, end)
    if min(begin, start, end) < 0 or url is None or not page.prefix:
        return document
    script = document[start:begin] + b"import %b;\n" % url[1]
    script += _REACT_ROUTES.replace(b" =", b" ??=") + document[begin + len(_REACT_ROUTES) : end]
    imports = rb'(\b(?:import|from)\s?\(?)("/[^"\\]{1,500}")'
    if IMPORTED_FROM_THE_ROOT.search(document) is None:
        script = re.sub(imports, lambda match: match[1] + _mapped(match[2], page), script)
    lazy = b'"routeDiscovery":{"mode":"lazy"'
    document = document[:start] + script + document[end:]
    return document.replace(lazy, lazy.replace(b"lazy", b"initial"), 1)


#: By name: the marker of the service's pages (the data begins there), the pattern to replace, and
#: the function that returns the replacement.
_ROOTS: dict[str, tuple[bytes, bytes, Callable[[Page], str]]] = {
    "Dagster": (b'id="initialization-data"', rb'("pathPrefix"\s?:\s?")(")', _root),
    "Label Studio": (b"APP_SETTINGS", rb'(\bhostname\s?:\s?")(")', _root_url),
    "Nuxt": (b'app:{baseURL:"', rb'(\{baseURL:")/(")', _root_and_slash),
    "Phoenix": (b'(window, "Config"', rb'(\bbasename\s?:\s?")(")', _root),
    "Phoenix, older pages": (b"window.Config", rb'(\bbasename\s?:\s?")(")', _root),
    "Taipy": (b"window.taipyConfig", rb'("baseURL"\s?:\s?")/(")', _root_and_slash),
}

# The only way to tell Gradio the visitor's URL of its root: the URLs of files that it writes into
# pages and event streams begin with this header's value (its route_utils).
_OF_GRADIO: dict[str, Callable[[Page], str]] = {"X-Gradio-Server": lambda page: page.url}


def corrected_attributes(document: bytes, page: Page) -> bytes:
    """Any service: the URLs in attributes; see `attributes`."""
    return urls_in_attributes(document, page.urls)


#: The default page adapters of a `Service`.
DEFAULT_PAGE_ADAPTERS = (
    PageAdapter("URLs in attributes", b"<", corrected_attributes),
    PageAdapter("Jupyter", b'id="jupyter-config-data"', jupyter),
    PageAdapter("Jupyter, older pages", b'data-base-url="', jupyter_classic),
    PageAdapter("Dash", b'id="_dash-config"', dash),
    PageAdapter("Chainlit", b'property="og:root_path"', chainlit),
    PageAdapter("Gradio", b"window.gradio_config", gradio, _OF_GRADIO),
    PageAdapter("Superset", b"data-bootstrap=", superset),
    PageAdapter("React Router", b"__reactRouterContext", react_router),
    *(
        PageAdapter(name, marker, partial(_in_script, begin=marker, value=value, written=written))
        for name, (marker, value, written) in _ROOTS.items()
    ),
)
