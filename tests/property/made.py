"""What the properties are tried on: URLs, headers and bytes, made of what readers stumble over.

Text drawn from all of Unicode hardly ever holds a `%2e%2e` or a `sessionid`; so each strategy mixes
such pieces with arbitrary characters.
"""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import unquote, unquote_plus

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from wsgi_portproxy.upstream.framing import Decoder

# RFC 9112 section 3.2.1: what may stand in a request target, but for `#`.
VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")
# Alphabets are listed: for all of Unicode Hypothesis makes a table first, for two seconds.
LATIN1 = "".join(map(chr, range(256)))
latin1 = st.text(LATIN1, max_size=30)
#: Beyond it: digits and letters of other scripts, wide ones, line ends, what folds to ASCII.
any_text = st.text(
    LATIN1 + "\u0663\uff11\u00b2\u20ac\u0130\u212a\u2028\u200b\U0001f600", max_size=8
)


def mixed(pieces: list[str], alphabet: str, size: int = 8) -> SearchStrategy[str]:
    """Texts that hold some of `pieces`, and characters of `alphabet` between them."""
    return st.lists(
        st.one_of(st.sampled_from(pieces), st.text(alphabet, max_size=3)), max_size=size
    ).map("".join)


def climbs(text: str) -> bool:
    """Whether some reader sees a segment `..` in it."""
    return ".." in unquote(text).replace("\\", "/").split("/")


_IN_SEGMENT = "".join(char for char in VISIBLE if char not in "/?")
_ODD_SEGMENTS = ["%2F", "%25", "%zz", "%C3%A4", "%ff", "%", ";x", "@", "a", "port=1", "proxy"]
segment = mixed(_ODD_SEGMENTS, _IN_SEGMENT, 3).filter(lambda text: not climbs(text))
#: The path behind a mount, as sent, without dot segments; it begins with a slash.
rest = st.lists(segment, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
#: The same with what climbs.
any_rest = st.lists(
    st.one_of(segment, st.sampled_from(["..", ".", "", "%2e%2e", "..%2f..", "%5c..", "\\.."])),
    max_size=6,
).map(lambda parts: "/" + "/".join(parts))

_IN_PAIR = "".join(char for char in VISIBLE if char != "&")
any_pair = mixed(["port", "=", "%70ort", "16006", "PORT", "port[]", ";port", "+", "%"], _IN_PAIR, 4)


def names_port(pair: str) -> bool:
    """Whether any framework would read the pair as one of the key `port`."""
    return unquote_plus(pair.partition("=")[0]) == "port"


#: Pairs of a query, as sent, none of which is a `port`.
other_pairs = st.lists(any_pair.filter(lambda pair: not names_port(pair)), max_size=4)
any_query = st.lists(any_pair, max_size=4).map("&".join)

ports = st.integers(1, 65535)
scripts = st.sampled_from(["", "/apps", "/apps/my lab", "/\xe4"])
servers = st.sampled_from(["gunicorn", "waitress"])  # those that give the target as it was sent


def fed(decoder: Decoder, piece: bytes) -> bytes:
    """All that a piece holds of a body, of which some is decoded at a time."""
    parts = [decoder.feed(piece)]
    while decoder.is_behind:
        parts.append(decoder.feed(b""))
    return b"".join(parts)


@st.composite
def cut_anywhere(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces, as a connection may deliver it."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=6).map(sorted))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
