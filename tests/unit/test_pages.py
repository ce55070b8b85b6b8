"""Page adapters: the base URLs that services write into their pages, in the shapes they have there.

The documents are abridged from those of JupyterLab 4.6, Notebook 7.6, Notebook 6, Dash 4.4 and
Gradio 6.31.
"""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.respond.documents import MAX_DOCUMENT, may_adapt, without_compression
from wsgi_portproxy.rewrite.pages import Page
from wsgi_portproxy.rewrite.pages.adapters import (
    DEFAULT_PAGE_ADAPTERS,
    chainlit,
    corrected_attributes,
    dash,
    gradio,
    jupyter,
    jupyter_classic,
    react_router,
)
from wsgi_portproxy.rewrite.urls import UrlMapper
from wsgi_portproxy.settings import Service

from .given import a_query_view, a_target, a_view, costs_little, environ, table, words

P = "/alice/vision/proxy/16006"
LOCAL = "http://localhost:16006"
_VIEW = a_view("/lab")
PAGE = Page(_VIEW)
MOUNTED = Page(a_view("/lab", prefix=f"/apps{P}"))
HOST = Page(
    _VIEW._replace(
        target=a_target("/lab", prefix="", form="host"), visited=address_of("https://16006.p.test")
    )
)
EXTERNAL = Page(_VIEW._replace(told=_VIEW.visited))
FULL_PATH = Page(_VIEW._replace(base=P))


def lab(**config: str) -> bytes:
    """JupyterLab's page with these values of its configuration."""
    data = json.dumps({"allow_hidden_files": False, **config, "devMode": False})
    data = data.replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><title>JupyterLab</title>   '
        f'<script id="jupyter-config-data" type="application/json">{data}</script>'
        '<script defer="defer" src="/static/lab/main.efd36b46f3b45eb8.js"></script></head>'
        '<body data-x="baseUrl">"baseUrl": "/"</body></html>'
    ).encode()


def config(document: bytes, mark: bytes = b'id="jupyter-config-data"') -> dict[str, Any]:
    """What a page's script would find."""
    start = document.index(b"{", document.index(mark))
    data: dict[str, Any] = json.loads(document[start : document.index(b"</script>", start)])
    return data


# --- Jupyter -------------------------------------------------------------------------------------

LAB = {
    "appUrl": "/lab",
    "baseUrl": "/",
    "fullAppUrl": "/lab",
    "fullMathjaxUrl": "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.7/MathJax.js",
    "fullStaticUrl": "/static/lab",
    "fullWorkspacesApiUrl": "/lab/api/workspaces",
    "labextensionsUrl": "/lab/extensions",
    "preferredPath": "/",
    "rootUri": "file:///home/alice",
    "serverRoot": "/home/alice",
    "token": "40d04eeafbcd62cde1cfda0229699fccc3c86da3251152ad",
    "wsUrl": "",
}
MAPPED = {"baseUrl", "fullAppUrl", "fullStaticUrl", "fullWorkspacesApiUrl"}


@table("urls, prefix", {"plain": (PAGE, P), "below-a-script-name": (MOUNTED, f"/apps{P}")})
def test_jupyters_base_url_and_what_is_made_from_it(urls: Page, prefix: str) -> None:
    document = lab(**LAB)
    adapted = jupyter(document, urls)
    mapped = {name: prefix + LAB[name] for name in MAPPED}
    assert config(adapted) == {**config(document), **mapped}
    # And nothing outside of it.
    start, end = b'<script id="jupyter', b"</script>"
    assert adapted.partition(start)[0] == document.partition(start)[0]
    assert adapted.partition(end)[2] == document.partition(end)[2]


@table("urls", {"mounted": MOUNTED, "host": HOST, "external": EXTERNAL, "full": FULL_PATH})
def test_what_is_mapped_already_stays(urls: Page) -> None:
    adapted = jupyter(lab(**LAB), urls)
    assert jupyter(adapted, urls) == adapted
    assert config(adapted)["baseUrl"] == urls.prefix + "/"


def test_what_is_right_is_left_alone() -> None:
    told = lab(**{name: P + value for name, value in LAB.items() if name in MAPPED})
    for document, urls in ((told, FULL_PATH), (told, PAGE), (lab(**LAB), HOST)):
        assert jupyter(document, urls) == document


@pytest.mark.parametrize(
    ("value", "mapped"),
    [
        ("/", f"{P}/"),
        ("/base/", f"{P}/base/"),
        (f"{LOCAL}/lab", f"http://app.test{P}/lab"),
        ("http://127.0.0.1:16006/", f"http://app.test{P}/"),
        (f"{LOCAL}{P}/lab", f"http://app.test{P}/lab"),
        ("https://example.com/", "https://example.com/"),
        ("//example.com/", "//example.com/"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("lab", "lab"),
        ("", ""),
        (f"{P}x/", f"{P}{P}x/"),
        ("/</script><!--", f"{P}/</script><!--"),
        ('/"x\\y\n\u20ac\U0001f600', f'{P}/"x\\y\n\u20ac\U0001f600'),
        ("/\ud800", f"{P}/\ud800"),
    ],
)
def test_values(value: str, mapped: str) -> None:
    document = lab(baseUrl=value)
    adapted = jupyter(document, PAGE)
    assert config(adapted)["baseUrl"] == mapped
    assert jupyter(adapted, PAGE) == adapted


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rb'"\u002f"', f"{P}/"),
        (rb'"\/lab"', f"{P}/lab"),
        (rb'"/a\"b\\"', f'{P}/a"b\\'),
        (b'"/caf\xc3\xa9"', f"{P}/caf\xe9"),
        (rb'"/\u003c/script>"', f"{P}/</script>"),
    ],
)
def test_values_in_other_spellings_of_json(given: bytes, expected: str) -> None:
    document = lab(baseUrl="@").replace(b'"baseUrl": "@"', b'"baseUrl" \n:\t' + given)
    adapted = jupyter(document, PAGE)
    assert config(adapted)["baseUrl"] == expected
    assert adapted.count(b"</script>") == document.count(b"</script>")


@pytest.mark.parametrize(
    "given",
    [b"null", b'["/"]', b'{"a": 1}', rb'"/\x"', b'"/\xff"', b"'/'", b'"\n/"', b""],
    ids=ascii,
)
def test_what_is_no_json_string_stays(given: bytes) -> None:
    document = lab(baseUrl="@").replace(b'"@"', given)
    assert jupyter(document, PAGE) == document


@pytest.mark.parametrize(
    "key", words(""" "baseurl" "xbaseUrl" "baseUrls" 'baseUrl' "fullUrl" "full1Url" """)
)
def test_other_keys_stay(key: str) -> None:
    document = lab(baseUrl="/").replace(b'"baseUrl"', key.encode())
    assert jupyter(document, PAGE) == document


def test_a_script_that_speaks_of_the_configuration_before_it_is_not_taken_for_it() -> None:
    before = b'<script>const at = document.getElementById("jupyter-config-data");</script>'
    adapted = jupyter(before + lab(**LAB), PAGE)
    assert adapted.startswith(before)
    assert config(adapted)["baseUrl"] == f"{P}/"


def test_a_document_without_the_configuration_stays() -> None:
    for document in (
        b"",
        b'id="jupyter-config-data" "baseUrl": "/"',
        b'"baseUrl": "/" id="jupyter-config-data"</script>',
        b'</script>"baseUrl": "/" <script id="jupyter-config-data">',
    ):
        assert jupyter(document, PAGE) == document


# --- The others ----------------------------------------------------------------------------------

DASH = (
    rb'<footer><script id="_dash-config" type="application/json">{"url_base_pathname":null,'
    rb'"requests_pathname_prefix":"\u002f","ui":false,"update_title":"Updating...",'
    rb'"dash_version_url":"https:\u002f\u002fdash-version.plotly.com:8080\u002fcurrent_version"}'
    rb'</script><script src="/_dash-component-suites/dash/deps/react@18.min.js"></script></footer>'
)


def test_dash() -> None:
    adapted = dash(DASH, PAGE)
    assert adapted == DASH.replace(rb'"\u002f"', f'"{P}/"'.encode())
    assert dash(adapted, PAGE) == adapted
    both = DASH.replace(b"null", b'"/"')
    assert config(dash(both, PAGE), b"_dash-config")["url_base_pathname"] == f"{P}/"


GRADIO = (
    b'<script>window.gradio_config = {"version":"6.31.0","api_prefix":"/gradio_api","css":null,'
    b'"components":[{"id":1,"props":{"value":"\\"root\\":\\"/\\""}}],"username":null,'
    b'"root":"http://localhost:16006"};</script><script>window.gradio_api_info = {"root":"/"};'
    b"</script><script>window.gradio_config?.is_colab === true</script>"
)


@table(
    "urls, root", {"path": (PAGE, f"http://app.test{P}"), "host": (HOST, "https://16006.p.test")}
)
def test_gradio(urls: Page, root: str) -> None:
    adapted = gradio(GRADIO, urls)
    assert adapted == GRADIO.replace(b"http://localhost:16006", root.encode())
    assert gradio(adapted, urls) == adapted


def test_gradio_that_knows_its_address_is_left_alone() -> None:
    """With root_path it writes the prefix itself, behind the Host that it was sent."""
    for urls in (EXTERNAL, FULL_PATH):
        for root in (f"http://app.test{P}", f"http://app.test{P}/"):
            document = GRADIO.replace(b"http://localhost:16006", root.encode())
            assert gradio(document, urls) == document
    sent = GRADIO.replace(b"http://localhost:16006", b"http://app.test")
    assert f'"root":"http://app.test{P}"'.encode() in gradio(sent, EXTERNAL)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/", f"{P}/"),
        (f"{P}/", f"{P}/"),
        ("/caf\xe9&amp;b/", f"{P}/caf\xe9&amp;b/"),
        ("/a&lt;b&#39;&quot;/", f"{P}/a&lt;b&#x27;&quot;/"),
        ("//example.com/", "//example.com/"),
        ("x", "x"),
        ("", ""),
    ],
)
def test_jupyters_older_pages(given: str, expected: str) -> None:
    page = '<body class="notebook_app "\n  data-base-url="{}"\n  data-ws-url="" data-x="/">'
    document = page.format(given).encode("latin-1")
    adapted = jupyter_classic(document, PAGE)
    assert adapted == page.format(expected).encode("latin-1")
    assert jupyter_classic(adapted, PAGE) == adapted


# --- Hostile documents ---------------------------------------------------------------------------

SIZE = MAX_DOCUMENT - 100
PART = SIZE // 16  # what is quadratic takes far too long for it already
BEGINS = {
    jupyter: b'<script id="jupyter-config-data">',
    dash: b'<script id="_dash-config">',
    gradio: b"<script>window.gradio_config",
    jupyter_classic: b"",
    react_router: b'<script>__reactRouterContext"url":"/x"window.__reactRouterManifest = {',
}
KEYS = {
    jupyter: b'"baseUrl"',
    dash: b'"url_base_pathname"',
    gradio: b'"root"',
    react_router: b'"url"',
}
PIECES = {
    "long-value": (b'K: "', b"a"),
    "long-url": (b'K: "/', b"a"),
    "escapes": (b'K: "', b"\\\\"),
    "escaped-quotes": (b'K: "/', b'\\"'),
    "keys": (b"", b"K:"),
    "values-without-end": (b"", b'K:"/'),
    "broken-escapes": (b"", b'K:"\\\n'),
    "spaces": (b"K", b" "),
    "spaces-between-keys": (b"", b"K" + b" " * 500),
    "quotes": (b"", b'"'),
    "half-keys": (b"", b'"full' + b"A" * 39),
    "begins": (b"", b'id="jupyter-config-data"_dash-config window.gradio_config'),
    "attributes": (b"", b'data-base-url="/'),
    "long-attributes": (b"", b'data-base-url="/' + b"a" * 1999),
    "urls": (b"", b'K:"/",'),
    "numbers": (b"K: ", b"[" * 1000),
    "imports": (b"", b'import "/'),
    "manifests": (b"", b'<script>window.__reactRouterManifest = {"url":"/'),
}


@table("first, repeated", PIECES)
@table("ended", {"ended": True, "without-end": False})
def test_a_hostile_document_costs_linear_time(first: bytes, repeated: bytes, ended: bool) -> None:
    for adapter, begin in BEGINS.items():
        key = KEYS.get(adapter, b"")
        piece = repeated.replace(b"K", key)
        document = begin + first.replace(b"K", key) + piece * (PART // len(piece))
        with costs_little():
            adapter(document + b"</script>" * ended, PAGE)


def test_a_long_value_takes_no_more_memory_than_the_document() -> None:
    document = b'<script id="jupyter-config-data">"baseUrl": "' + b"a" * SIZE + b'"</script>'
    tracemalloc.start()
    jupyter(document, PAGE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MAX_DOCUMENT


# --- The table -----------------------------------------------------------------------------------

BY_FUNCTION = {
    jupyter: "Jupyter",
    dash: "Dash",
    gradio: "Gradio",
    jupyter_classic: "Jupyter, older pages",
    chainlit: "Chainlit",
}
# A value of a page that is the service's root, as it stands there and as it is to be.
ROOT_VALUES = {
    "Dagster": (
        b'<script type="application/json" id="initialization-data" nonce="74a7">{\n'
        b'  "pathPrefix": "",\n  "telemetryEnabled": true,\n  "instanceId": ""\n}',
        b'"pathPrefix": ""',
        f'"pathPrefix": "{P}"',
    ),
    "Label Studio": (
        b"<script>function look(x) { return window.APP_SETTINGS?.user?.customHotkeys[x] }\n"
        b'  window.APP_SETTINGS = Object.assign({\n    user: {\n      username: "",\n    },\n'
        b'    debug: false,\n    hostname: "",\n    version: {},\n  }, {})',
        b'hostname: ""',
        f'hostname: "http://app.test{P}"',
    ),
    "Nuxt": (
        b'<script>window.__NUXT__={};window.__NUXT__.config={public:{},app:{baseURL:"/",'
        b'buildId:"f8bc4170-e116",buildAssetsDir:"/_nuxt/",cdnURL:""}}',
        b'baseURL:"/"',
        f'baseURL:"{P}/"',
    ),
    "Phoenix": (
        b'<script>(function() {\n      Object.defineProperty(window, "Config", {\n'
        b'          value: Object.freeze({\n              basename: "",\n'
        b'              platformVersion: "20.26.1",\n',
        b'basename: ""',
        f'basename: "{P}"',
    ),
    "Phoenix, older pages": (
        b'<script>window.Config = {basename: "", authenticationEnabled: ""}',
        b'basename: ""',
        f'basename: "{P}"',
    ),
    "React Router": (
        b'<script>window.__reactRouterContext = {"basename":"/","future":{"a":"/"}}',
        b'"basename":"/"',
        f'"basename":"{P}/"',
    ),
    "Taipy": (
        b'<base href="/"/><script>window.taipyConfig={"baseURL": "/", "darkMode": true, "e": "/"};'
        b'window.taipyVersion="4.1.2";\n    ',
        b'"baseURL": "/"',
        f'"baseURL": "{P}/"',
    ),
    "Superset": (
        b'<div id="app" data-bootstrap="{&#34;user&#34;: {}, &#34;common&#34;: {'
        b"&#34;application_root&#34;: &#34;/&#34;, &#34;static_assets_prefix&#34;: &#34;&#34;"
        b'}}">',
        b"application_root&#34;: &#34;/&#34;",
        f"application_root&#34;: &#34;{P}&#34;",
    ),
}
REACT_ROUTES = (
    b'<script>window.__reactRouterContext = {"basename":"/","future":{},"routeDiscovery":'
    b'{"mode":"lazy","manifestPath":"/__manifest"},"ssr":true,"isSpaMode":false};</script>'
    b'<script type="module" async="">;\nimport * as route0 from "/assets/root-AZ.js";\n'
    b'  window.__reactRouterManifest = {\n  "entry": {\n    "module": "/assets/entry-CE.js"\n  },\n'
    b'  "url": "/assets/manifest-dd.js",\n  "version": "dd"\n};\n'
    b'  window.__reactRouterRouteModules = {"root":route0};\n\nimport("/assets/entry-CE.js");'
    b'</script><p>import("/assets/entry-CE.js")</p>'
)
ROOTS = {name: page + b"</script></div>" for name, (page, _, _) in ROOT_VALUES.items()}
PAGES = {
    jupyter: lab(**LAB),
    dash: DASH,
    gradio: GRADIO,
    jupyter_classic: b'<a data-base-url="/">',
    chainlit: b'<meta property="og:root_path" content="">',
}


def test_chainlits_root_is_the_prefix() -> None:
    page = b'<head><meta property="og:root_path" content=""></head>'
    adapted = chainlit(page, PAGE)
    assert adapted == page.replace(b'""', b'"%b"' % PAGE.prefix.encode())
    assert chainlit(adapted, PAGE) == adapted
    told = page.replace(b'""', b'"/own"')  # by --root-path
    assert chainlit(told, PAGE) == told
    assert chainlit(page, Page(a_view(prefix="", form="host"))) == page


def test_react_router_gets_all_its_routes() -> None:
    adapted = react_router(REACT_ROUTES, PAGE)
    script = REACT_ROUTES.partition(b"<script type")[2].partition(b"</script>")[0]
    prefix = P.encode()
    expected = (
        script.replace(b'from "/assets', b'from "%b/assets' % prefix)
        .replace(b'import("/assets', b'import("%b/assets' % prefix)
        .replace(
            b"window.__reactRouterManifest = {",
            b'import "%b/assets/manifest-dd.js";\nwindow.__reactRouterManifest ??= {' % prefix,
        )
    )
    page = REACT_ROUTES.replace(script, expected).replace(b'"lazy"', b'"initial"')
    page = page.replace(b'"basename":"/"', b'"basename":"%b/"' % prefix)
    assert adapted == page
    assert react_router(adapted, PAGE) == adapted
    assert react_router(REACT_ROUTES, HOST) == REACT_ROUTES


def test_its_development_server_imports_all_from_the_root() -> None:
    page = REACT_ROUTES.replace(b"/assets/manifest-dd.js", b"/@id/virtual:manifest")
    adapted = react_router(page, PAGE)
    assert b'import "/@id/virtual:manifest";\nwindow.__reactRouterManifest ??= {' in adapted
    assert adapted.count(b'"/assets/') == page.count(b'"/assets/')
    assert react_router(adapted, PAGE) == adapted


@pytest.mark.parametrize("part", [b'"url"', b"<script", b"</script>", b"Manifest = {"])
def test_a_page_of_react_router_that_is_not_understood_stays(part: bytes) -> None:
    page = REACT_ROUTES.replace(b'"basename":"/"', b"").replace(part, b"x")
    assert react_router(page, PAGE) == page


def test_each_default_adapter_knows_its_own_pages_and_no_others() -> None:
    of_any_page, *of_one_service = DEFAULT_PAGE_ADAPTERS
    assert of_any_page.adapt is corrected_attributes
    pages = {**{BY_FUNCTION[one]: page for one, page in PAGES.items()}, **ROOTS}
    assert {adapter.name for adapter in of_one_service} == pages.keys()
    for adapter in of_one_service:
        for name, document in pages.items():
            assert (adapter.marker in document) is (name == adapter.name)


@pytest.mark.parametrize("name", ROOTS)
def test_a_root_becomes_the_prefix(name: str) -> None:
    [adapter] = [one for one in DEFAULT_PAGE_ADAPTERS if one.name == name]
    _, there, written = ROOT_VALUES[name]
    page = b"<p>%b</p>" % ROOTS[name]
    adapted = adapter.adapt(page, PAGE)
    assert adapted == page.replace(there, written.encode())
    assert adapted != page
    assert adapter.adapt(adapted, PAGE) == adapted
    assert adapter.adapt(page, HOST) == page
    with costs_little():
        adapter.adapt(ROOTS[name].partition(b"</script>")[0] * (SIZE // 64), PAGE)


def test_what_is_no_adapter_is_refused() -> None:
    wrong: list[Any] = ["x", None, jupyter, ("a", b"b", jupyter)]
    for adapter in wrong:
        with pytest.raises(TypeError):
            Service(page_adapters=[DEFAULT_PAGE_ADAPTERS[0], adapter])


@table(
    "urls, method, mode, looks",
    {
        "page": (PAGE.urls, "GET", "navigate", True),
        "page-in-the-host-form": (HOST.urls, "GET", "navigate", True),
        "query-form": (a_query_view(), "GET", "navigate", False),
        "fetch": (PAGE.urls, "GET", "cors", False),
        "head": (PAGE.urls, "HEAD", "navigate", False),
        "form": (PAGE.urls, "POST", "navigate", True),
        "fetched-form": (PAGE.urls, "POST", "cors", False),
        "put": (PAGE.urls, "PUT", "navigate", False),
    },
)
def test_which_answers_are_looked_at(urls: UrlMapper, method: str, mode: str, looks: bool) -> None:
    made = environ(method=method, HTTP_SEC_FETCH_MODE=mode)
    assert may_adapt(DEFAULT_PAGE_ADAPTERS, urls, Visit(made)) is looks
    assert not may_adapt((), urls, Visit(made))


def test_a_page_is_asked_for_unencoded_and_all_else_as_it_came() -> None:
    fields = [("Host", "h"), ("accept-ENCODING", "gzip, br"), ("A", "1"), ("A", "2")]
    asked = without_compression(fields)
    assert asked == [("Host", "h"), ("A", "1"), ("A", "2"), ("Accept-Encoding", "identity")]
    assert without_compression([]) == [("Accept-Encoding", "identity")]
