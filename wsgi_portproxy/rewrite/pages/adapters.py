"""The table of page adapters, which correct the base URL that services write into pages as data.

A script that builds URLs from such a value, or uses it as its router's base, leaves the service's
prefix, and no header can prevent that: JupyterLab even moves the page's address there.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from functools import partial

from ..urls import View
from . import PageAdapter
from .attributes import IMPORTED_FROM_THE_ROOT, urls_in_attributes


def _in_json(names: bytes, document: bytes, begin: bytes, end: bytes, view: View) -> bytes:
    """The document with the values of the keys `names` (a pattern) mapped, in the JSON after
    `begin`."""
    start = document.find(begin)
    stop = document.find(end, start)
    if start < 0 or stop < 0:
        return document
    # A key contains a quote, which would end a value before it: no byte is read twice. Bounded,
    # since the matcher needs a hundred times the memory of each character of a value.
    pattern = rb'("(?:%b)"\s*:\s*)("(?:[^"\\]|\\.){0,2000}")' % names
    data = re.sub(pattern, lambda match: match[1] + _mapped(match[2], view), document[start:stop])
    return document[:start] + data + document[stop:]


def _mapped(literal: bytes, view: View) -> bytes:
    """A JSON string with its URL mapped; unchanged if the URL is not the service's."""
    try:
        url = json.loads(literal)
    except ValueError:
        return literal
    mapped = view.to_visitor(url)
    if not url.startswith(("/", "http:", "https:")) or mapped == url:
        return literal
    if not url.endswith("/") and "://" in url:
        mapped = mapped.rstrip("/")
    # A bare `<` could end the script element (HTML standard, "script data state").
    return json.dumps(mapped).replace("<", "\\u003c").encode("ascii")


def jupyter(document: bytes, view: View) -> bytes:
    """JupyterLab, Notebook 7, Voila: `baseUrl` and the `full...Url`s, the base of all others."""
    names = rb"baseUrl|full[A-Za-z]{1,40}Url"
    return _in_json(names, document, b'id="jupyter-config-data"', b"</script>", view)


def jupyter_classic(document: bytes, view: View) -> bytes:
    """Jupyter's older pages, the login among them."""

    def mapped(match: re.Match[bytes]) -> bytes:
        url = html.unescape(match[1].decode("latin-1"))
        return b'data-base-url="%b"' % html.escape(view.to_visitor(url)).encode("latin-1")

    return re.sub(rb'data-base-url="(/[^"]{0,2000})"', mapped, document)


def dash(document: bytes, view: View) -> bytes:
    """Dash: the paths from which its scripts fetch their data."""
    names = rb"requests_pathname_prefix|url_base_pathname"
    return _in_json(names, document, b'id="_dash-config"', b"</script>", view)


def gradio(document: bytes, view: View) -> bytes:
    """Gradio: the address that its scripts use, made from the Host that it received."""
    return _in_json(rb"root", document, b"window.gradio_config", b"</script>", view)


def chainlit(document: bytes, view: View) -> bytes:
    """Chainlit: the base path of its router, its API and its socket."""
    empty = b'<meta property="og:root_path" content="'
    place = html.escape(view.to_visitor("/").rstrip("/")).encode("latin-1")
    return document.replace(empty + b'"', empty + place + b'"', 1)


# --- A root in a script, or in data that a script reads ------------------------------------------


def _root(view: View) -> str:
    """The service's root as a path without a final slash: empty in the host form."""
    return view.to_visitor("/").rstrip("/")


def _root_and_slash(view: View) -> str:
    return view.to_visitor("/")


def _root_url(view: View) -> str:
    """The root as an absolute URL; empty if there is no prefix: the page then finds it by
    itself."""
    return view.origin + view.target.prefix if view.target.prefix else ""


def _in_script(
    document: bytes, view: View, *, begin: bytes, value: bytes, written: Callable[[View], str]
) -> bytes:
    """The document with the root, as `written`, at the first match of `value` in the script after
    `begin`. `value` is a pattern with one group before and one after the text to replace."""
    start = document.find(begin)
    stop = document.find(b"</script>", start)
    if start < 0 or stop < 0:
        return document
    # A bare `<` could end the script element (HTML standard, "script data state").
    text = json.dumps(written(view))[1:-1].replace("<", "\\u003c").encode("ascii")
    data = re.sub(value, lambda match: match[1] + text + match[2], document[start:stop], count=1)
    return document[:start] + data + document[stop:]


def superset(document: bytes, view: View) -> bytes:
    """Superset: the root of its API and its router, in JSON within an attribute."""
    quote = rb"(?:&#34;|&quot;)"
    value = rb"(%b%b%b:\s?%b)/(%b)" % (quote, b"application_root", quote, quote, quote)
    root = html.escape(_root(view) or "/").encode("latin-1")
    return re.sub(value, lambda match: match[1] + root + match[2], document, count=1)


_REACT_ROUTES = b"window.__reactRouterManifest = {"


def react_router(document: bytes, view: View) -> bytes:
    """React Router in framework mode: its root, and all routes at once, as with its own setting
    `routeDiscovery: "initial"`. Otherwise it asks for the routes behind a link by the visitor's
    path, which the service does not know. The page's imports are mapped like those of its
    modules."""
    value = rb'("basename"\s?:\s?")/(")'
    context = b"__reactRouterContext"
    document = _in_script(document, view, begin=context, value=value, written=_root_and_slash)
    begin = document.find(_REACT_ROUTES)
    start = document.rfind(b"<script", 0, max(begin, 0))
    end = document.find(b"</script>", begin)
    url = re.compile(rb'"url":\s?("/[^"\\]{1,500}")').search(document, begin, end)
    if min(begin, start, end) < 0 or url is None or not view.target.prefix:
        return document
    script = document[start:begin] + b"import %b;\n" % url[1]
    script += _REACT_ROUTES.replace(b" =", b" ??=") + document[begin + len(_REACT_ROUTES) : end]
    imports = rb'(\b(?:import|from)\s?\(?)("/[^"\\]{1,500}")'
    if IMPORTED_FROM_THE_ROOT.search(document) is None:
        script = re.sub(imports, lambda match: match[1] + _mapped(match[2], view), script)
    lazy = b'"routeDiscovery":{"mode":"lazy"'
    document = document[:start] + script + document[end:]
    return document.replace(lazy, lazy.replace(b"lazy", b"initial"), 1)


#: By service: a marker of its pages, which is also where the data begins; the pattern of what is
#: replaced; and by what.
_ROOTS: dict[str, tuple[bytes, bytes, Callable[[View], str]]] = {
    "Dagster": (b'id="initialization-data"', rb'("pathPrefix"\s?:\s?")(")', _root),
    "Label Studio": (b"APP_SETTINGS", rb'(\bhostname\s?:\s?")(")', _root_url),
    "Nuxt": (b'app:{baseURL:"', rb'(\{baseURL:")/(")', _root_and_slash),
    "Phoenix": (b'(window, "Config"', rb'(\bbasename\s?:\s?")(")', _root),
    "Phoenix, older pages": (b"window.Config", rb'(\bbasename\s?:\s?")(")', _root),
    "Taipy": (b"window.taipyConfig", rb'("baseURL"\s?:\s?")/(")', _root_and_slash),
}

#: The adapters of a `PortProxy` by default.
DEFAULT_PAGE_ADAPTERS = (
    PageAdapter("URLs in attributes", b"<", urls_in_attributes),
    PageAdapter("Jupyter", b'id="jupyter-config-data"', jupyter),
    PageAdapter("Jupyter, older pages", b'data-base-url="', jupyter_classic),
    PageAdapter("Dash", b'id="_dash-config"', dash),
    PageAdapter("Chainlit", b'property="og:root_path"', chainlit),
    PageAdapter("Gradio", b"window.gradio_config", gradio),
    PageAdapter("Superset", b"data-bootstrap=", superset),
    PageAdapter("React Router", b"__reactRouterContext", react_router),
    *(
        PageAdapter(name, marker, partial(_in_script, begin=marker, value=value, written=written))
        for name, (marker, value, written) in _ROOTS.items()
    ),
)
