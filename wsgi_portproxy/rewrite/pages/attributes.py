"""Maps URLs in the attributes of a page, by a table of the attributes that hold URLs.

Decides which URLs are mapped, and how their text becomes a URL and text again. The service's own
absolute URLs, made from the Host that it received (Django's `build_absolute_uri`, Starlette's
`url_for`), name an address that the visitor's browser cannot reach. Root-absolute URLs are mapped
only if they are followed: a link to `/` would show the app's start page. If they load something,
they stay, since strays are found anyway. Modules that would run twice are the exception: see
`MODULES`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from ..csp import csp_to_visitor
from ..url_headers import refresh_to_visitor
from ..urls import UrlMapper
from .tags import Attribute, StartTag, start_tags

#: Maps an attribute's text, as written with its character references, to the visitor's.
Correction = Callable[[UrlMapper, str], str]

_SPACE = "\t\n\f\r "
# The beginning of a URL, up to a character reference that may mean another character, or none, in
# other encodings. From there on, the URL stays as written.
_BEGINNING = re.compile(
    r"(?:[^&?#]|&(?:amp|apos|quot|sol|colon|#x[2-7][0-9a-f]|#(?:3[2-9]|[4-9][0-9]|1[01][0-9]));)*",
    re.IGNORECASE,
)
_OTHER_SITE = re.compile(r"[/\\]{2}")
# The parts of a srcset (HTML standard, "parse a srcset attribute"): the gap between candidates, a
# URL, and its size, up to the next comma outside parentheses.
_GAP = re.compile(r"[\t\n\f\r ,]*")
_URL = re.compile(r"[^\t\n\f\r ]+")
_SIZE = re.compile(r"(?:\([^)]*\)?|[^,(])*")


def _names_site(url: str) -> bool:
    return _OTHER_SITE.match(url) is not None or url[:5].lower() in ("http:", "https")


def _absolute(urls: UrlMapper, text: str) -> str:
    """A URL, mapped if it is absolute."""
    return _mapped(urls, text, root_absolute=False)


def _followed(urls: UrlMapper, text: str) -> str:
    """A URL, mapped if it is absolute or root-absolute."""
    return _mapped(urls, text, root_absolute=True)


def _mapped(urls: UrlMapper, text: str, *, root_absolute: bool) -> str:
    before = text[: len(text) - len(text.lstrip(_SPACE))]
    match = _BEGINNING.match(text, len(before))
    assert match is not None, "it also matches an empty string"
    begins = html.unescape(match[0])
    if not (_names_site(begins) or (root_absolute and begins.startswith("/"))):
        return text
    mapped = urls.to_visitor(begins)
    if mapped == begins:
        return text
    return before + _reference(mapped) + text[match.end() :]


def _ping(urls: UrlMapper, text: str) -> str:
    """URLs separated by white space."""
    return "".join(_absolute(urls, one) for one in re.split(r"([\t\n\f\r ]+)", text))


def _srcset(urls: UrlMapper, text: str) -> str:
    """URLs with sizes, separated by commas."""
    parts = []
    position = 0
    while position < len(text):
        gap = text[position : (position := _end(_GAP, text, position))]
        url = text[position : (position := _end(_URL, text, position))]
        own = url.rstrip(",")
        parts += [gap, _absolute(urls, own), url[len(own) :]]
        if own == url:
            parts.append(text[position : (position := _end(_SIZE, text, position))])
    return "".join(parts)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _whole(mapping: Callable[[UrlMapper, str], str]) -> Correction:
    """The correction of a value that has the syntax of a header and is read as a whole."""

    def corrected(urls: UrlMapper, text: str) -> str:
        value = html.unescape(text)
        mapped = mapping(urls, value)
        return text if mapped == value else _reference(mapped)

    return corrected


#: By element and attribute, in lower case (HTML standard, index of attributes; `frame` and
#: `manifest` are in older versions).
ATTRIBUTES: dict[bytes, dict[bytes, Correction]] = {
    b"a": {b"href": _followed, b"ping": _ping},
    b"area": {b"href": _followed, b"ping": _ping},
    b"audio": {b"src": _absolute},
    b"base": {b"href": _followed},  # the base of Angular's, Flutter's and Blazor's routers
    b"blockquote": {b"cite": _absolute},
    b"button": {b"formaction": _followed},
    b"del": {b"cite": _absolute},
    b"embed": {b"src": _absolute},
    b"form": {b"action": _followed},
    b"frame": {b"src": _absolute},
    b"html": {b"manifest": _absolute},
    b"iframe": {b"src": _absolute},
    b"img": {b"src": _absolute, b"srcset": _srcset},
    b"input": {b"formaction": _followed, b"src": _absolute},
    b"ins": {b"cite": _absolute},
    b"link": {b"href": _absolute, b"imagesrcset": _srcset},
    b"object": {b"data": _absolute},
    b"q": {b"cite": _absolute},
    b"script": {b"src": _absolute},
    b"source": {b"src": _absolute, b"srcset": _srcset},
    b"track": {b"src": _absolute},
    b"video": {b"src": _absolute, b"poster": _absolute},
}
#: By element: the attribute and the value by which it loads a module, and the corrections for a
#: module from a build tool, which adds `crossorigin` (Vite, Nuxt). A browser identifies a module by
#: the URL that it requested, but resolves the module's imports against the URL that it was
#: redirected to. Built modules import each other by relative URLs: a page loads `/assets/index.js`,
#: which imports `./lazy.js`, which imports `./index.js`, and `index.js` would run twice. Modules
#: written by hand also import from the root, so all of them stay strays.
MODULES: dict[bytes, tuple[bytes, bytes, dict[bytes, Correction]]] = {
    b"link": (b"rel", b"modulepreload", {b"href": _followed}),
    b"script": (b"type", b"module", {b"src": _followed}),
}
#: Vite's development server: all its imports begin at the root, and the page imports the same
#: modules. So all of them stay strays.
IMPORTED_FROM_THE_ROOT = re.compile(rb"/@(?:vite|id|fs)/")
#: How the `content` of a `meta` is mapped, by its `http-equiv` (HTML standard, "pragma
#: directives").
PRAGMAS: dict[bytes, Correction] = {
    b"refresh": _whole(refresh_to_visitor),
    b"content-security-policy": _whole(csp_to_visitor),
}


def urls_in_attributes(document: bytes, urls: UrlMapper) -> bytes:
    """The document with the service's own URLs in start tags mapped to the visitor's.

    Everything else stays byte for byte: text, scripts, values, comments, templates.
    """
    parts = []
    copied = 0
    with_modules = IMPORTED_FROM_THE_ROOT.search(document) is None
    is_based_elsewhere = False  # if so, root-absolute URLs are another site's
    for tag in start_tags(document):
        corrections = ATTRIBUTES.get(tag.name)
        if tag.name == b"meta":
            corrections = _of_meta(document, tag)
        elif with_modules and tag.name in MODULES:
            corrections = _of_module(document, tag) or corrections
        if not corrections:
            continue
        for attribute in tag.attributes:
            correct = corrections.get(attribute.name)
            if correct is None:
                continue
            if correct is _followed and is_based_elsewhere:
                correct = _absolute
            text = document[attribute.start : attribute.end].decode("latin-1")
            corrected = correct(urls, text)
            if tag.name == b"base" and corrected == text:
                url = html.unescape(text).lstrip(_SPACE)
                is_based_elsewhere = _names_site(url) and not url.startswith(urls.origin)
            if corrected != text:
                parts += [document[copied : attribute.start], _fitting(corrected, attribute)]
                copied = attribute.end
    return b"".join([*parts, document[copied:]]) if parts else document


def _of_meta(document: bytes, tag: StartTag) -> dict[bytes, Correction] | None:
    """The corrections for a `meta` element."""
    for name, start, end, _ in tag.attributes:
        if name == b"http-equiv" and (pragma := PRAGMAS.get(document[start:end].lower())):
            return {b"content": pragma}
    return None


def _of_module(document: bytes, tag: StartTag) -> dict[bytes, Correction] | None:
    """The corrections for an element that loads a built module; None for any other."""
    by, kind, corrections = MODULES[tag.name]
    values = {name: document[start:end].lower() for name, start, end, _ in tag.attributes}
    return corrections if values.get(by) == kind and b"crossorigin" in values else None


def _reference(text: str) -> str:
    """Text for an attribute, with its ampersands escaped."""
    return text.replace("&", "&amp;")


def _fitting(text: str, attribute: Attribute) -> bytes:
    """The text escaped for the attribute's quotes, or quoted if it has none, so that no character
    ends it."""
    data = text.encode("latin-1")
    if not attribute.quote:
        return b'"%b"' % data.replace(b'"', b"&quot;")
    reference = b"&quot;" if attribute.quote == b'"' else b"&#39;"
    return data.replace(attribute.quote, reference)
