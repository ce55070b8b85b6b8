"""The head reader and the decoders beside h11, a second opinion by other authors.

h11 is a client that repairs a little; ours repairs nothing. So: what both accept is the same
answer, in whatever pieces it comes, and what only h11 accepts is one of the kinds in `STRICTER`.
"""

from __future__ import annotations

from typing import NamedTuple

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsgi_portproxy.upstream.framing import (
    STEPS,
    ChunkedDecoder,
    Decoder,
    Head,
    Malformed,
    Truncated,
    body_decoder,
    find_head_end,
    parse_head,
)

from . import made

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
# What we refuse although h11 accepts it, with the rule of RFC 9112 that says why, and an example.
STRICTER = {
    # Section 2.2: a lone LF may be taken for a line end.
    "line of a head not ended by CRLF": _OK + b"A: b\n\r\n",
    # Section 5.2: obs-fold may be read as a space; NUL, RFC 9110 section 5.5.
    "malformed header field": _OK + b"Folded: a\r\n b\r\n\r\n",
    # Section 4: control characters in the reason.
    "malformed status line": b"HTTP/1.1 200 a\x01b\r\n\r\n",
    # Section 6.1: may be smuggling.
    "Transfer-Encoding with Content-Length or in HTTP/1.0": (
        _OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    # Section 7.1: as of a head.
    "line of a chunked body not ended by CRLF": _CHUNKED + b"0\r\nA: b\n\r\n",
    # Section 7.1.2: as of header fields.
    "malformed trailer": _CHUNKED + b"0\r\nFolded: a\r\n b\r\n\r\n",
}


class Answer(NamedTuple):
    """A final answer as read to its end. `whole`: the framing says that its body ended."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    whole: bool


def ours(pieces: list[bytes], method: str) -> Answer | str | None:
    """What we make of these bytes and the end of the connection; of malformed ones, which rule
    they break; None if the head does not end."""
    try:
        return _read(pieces, method)
    except Malformed as error:
        return str(error)


def _read(pieces: list[bytes], method: str) -> Answer | None:
    buffer, head, decoder, body, searched = bytearray(), None, None, [], 0
    for piece in pieces:
        if decoder is not None:
            body.append(made.fed(decoder, piece))
            continue
        buffer += piece
        head, searched = _final_head(buffer, searched)
        if head is not None:
            decoder = body_decoder(head, method)
            body.append(made.fed(decoder, bytes(buffer)))
    if head is None or decoder is None:
        return None
    return Answer(head.status, head.headers, b"".join(body), _ends(decoder))


def _final_head(buffer: bytearray, searched: int) -> tuple[Head | None, int]:
    """As `exchange` does it: interim heads are taken out of the buffer, and so is the final one."""
    while (end := find_head_end(buffer, searched) if buffer else -1) >= 0:
        head = parse_head(buffer[:end])
        del buffer[:end]
        if not 100 <= head.status < 200:
            return head, 0
        searched = 0
    return None, len(buffer)


def _ends(decoder: Decoder) -> bool:
    try:
        decoder.eof()
    except Truncated:
        return False
    return True


def theirs(data: bytes, method: str) -> Answer | None:
    """What h11 makes of them; None if it refuses them or waits for more of a head."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    response, body, whole = None, [], False
    try:
        client.receive_data(data)
        ended = False
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA and not ended:
                client.receive_data(b"")
                ended = True
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                whole = True
                break
            elif not isinstance(event, h11.InformationalResponse):
                break
    except h11.RemoteProtocolError:
        whole = False
    if response is None:
        return None
    fields = [(k.decode(), v.decode("latin-1")) for k, v in response.headers.raw_items()]
    return Answer(response.status_code, fields, b"".join(body), whole)


# --- Answers -------------------------------------------------------------------------------------

_line = made.mixed(
    ["Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close", "A: b", ":", " "],
    "A:b \t\x00\r\x7f\xe4\x01",
    3,
).map(lambda text: text.encode("latin-1"))
_good_line = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length:5 ",
        b"Content-Length: 5, 5",
        b"content-length: 0",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: Chunked",
        b"Transfer-Encoding: gzip",
        b"Connection: close",
        b"Set-Cookie: a=b, c; Path=/",
        b"X: \xe4\xff",
        b"Empty:",
        b"Content-Length: +5",
        b"Folded: a\r\n b",
    ]
)
_status_line = st.one_of(
    st.builds(
        b"HTTP/1.%d %d%b".__mod__,
        st.tuples(
            st.sampled_from([1, 1, 1, 0]),
            st.sampled_from([200, 200, 204, 304, 404, 299, 599, 103, 100]),
            st.sampled_from([b" OK", b" ", b"", b" a\tb", b" \xe4"]),
        ),
    ),
    st.sampled_from([b"HTTP/2 200 OK", b"http/1.1 200 OK", b"\r\nHTTP/1.1 200 OK", b"HTTP/1.1 20"]),
)
_end = st.sampled_from([b"\r\n"] * 20 + [b"\n", b"\r", b"\r\r\n"])
chunk = st.builds(
    lambda size, extension, data, end: size + extension + b"\r\n" + data + end,
    st.sampled_from([b"5", b"05", b"5", b"6", b"0x5", b"+5", b"5 ", b"FFFFFFFFFFFFFFFFF", b""]),
    st.sampled_from([b"", b"", b"", b";a=b", b" ;a", b" a", b"\t;\x00"]),
    st.sampled_from([b"hello", b"hello", b"hell\n", b"\r\n\r\n\r"]),
    st.sampled_from([b"\r\n"] * 6 + [b"\n", b"", b"xx"]),
)
chunked = st.builds(
    lambda chunks, last: b"".join(chunks) + last,
    st.lists(st.one_of(st.just(b"5\r\nhello\r\n"), chunk), max_size=3),
    st.sampled_from(
        [b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"00\r\n\r\nX", b"0\r\n", b""]
    ),
)
body = st.one_of(chunked, st.sampled_from([b"hello", b"hell", b"", b"hello, world", b"\r\n"]))


@st.composite
def answer(draw: st.DrawFn) -> bytes:
    heads = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        lines = draw(st.lists(st.one_of(_good_line, _good_line, _good_line, _line), max_size=4))
        for line in [draw(_status_line), *lines, b""]:
            heads.append(line + draw(_end))
    return b"".join(heads) + draw(body)


@pytest.mark.parametrize(("reason", "wire"), STRICTER.items(), ids=STRICTER)
def test_each_reason_to_refuse_what_h11_accepts_is_one_that_we_give(
    reason: str, wire: bytes
) -> None:
    accepted = theirs(wire, "GET")
    assert accepted is not None
    assert accepted.whole
    assert ours([wire], "GET") == reason


@pytest.mark.promise("Answers are read strictly")
@given(st.data(), answer(), st.sampled_from(["GET", "GET", "HEAD"]))
def test_what_h11_accepts_is_the_same_answer_or_refused_for_a_known_reason(
    data: st.DataObject, wire: bytes, method: str
) -> None:
    mine = ours(data.draw(made.cut_anywhere(wire)), method)
    other = theirs(wire, method)
    if isinstance(mine, str):
        assert mine in STRICTER or other is None or not other.whole
    elif mine is not None and other is not None:
        assert mine.status == other.status
        assert _comparable(mine.fields) == _comparable(other.fields)
        assert (mine.body, mine.whole) == (other.body, other.whole)
    elif other is not None:
        raise AssertionError("h11 has a whole head where we wait for more")


def _comparable(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Fields as h11 gives them: names and codings in lower case, one length."""
    lowered = [(name.lower(), value) for name, value in fields]
    lowered = [(k, v.lower() if k == "transfer-encoding" else v) for k, v in lowered]
    lengths = {value.partition(",")[0] for name, value in lowered if name == "content-length"}
    others = [field for field in lowered if field[0] != "content-length"]
    return [*others, *(("content-length", length) for length in lengths)]


@given(st.data(), answer(), st.sampled_from(["GET", "HEAD"]))
def test_how_the_bytes_are_cut_makes_no_difference(
    data: st.DataObject, wire: bytes, method: str
) -> None:
    whole = ours([wire], method)
    pieces = ours(data.draw(made.cut_anywhere(wire)), method)
    by_byte = ours([wire[i : i + 1] for i in range(len(wire))], method)
    if isinstance(whole, str):
        # Which of several broken rules is seen first depends on what has come, and a malformed
        # line at the very end is told from an unfinished one by what follows.
        assert isinstance(pieces, str)
        assert isinstance(by_byte, str)
    else:
        assert pieces == by_byte == whole


# --- The chunk decoder alone ---------------------------------------------------------------------


def decoded(pieces: list[bytes]) -> tuple[bytes, bool, int] | None:
    """The body, whether it ended, whether there was more; None for a malformed one."""
    decoder = ChunkedDecoder()
    try:
        parts = [made.fed(decoder, piece) for piece in pieces]
    except Malformed:
        return None
    return b"".join(parts), decoder.complete, decoder.surplus


@given(st.data(), st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.binary(max_size=3))
def test_what_was_encoded_is_decoded_in_any_pieces(
    data: st.DataObject, parts: list[bytes], surplus: bytes
) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n" + surplus
    pieces = data.draw(made.cut_anywhere(wire))
    assert decoded(pieces) == (b"".join(parts), True, len(surplus))


@given(st.data(), st.integers(1, 3 * STEPS), st.sampled_from([1, 2, 100]), st.binary(max_size=3))
def test_many_small_chunks_are_the_same_body_however_far_it_is_behind(
    data: st.DataObject, count: int, size: int, surplus: bytes
) -> None:
    wire = b"%x\r\n%b\r\n" % (size, b"x" * size) * count + b"0\r\n\r\n" + surplus
    decoder, body = ChunkedDecoder(), b""
    for piece in data.draw(made.cut_anywhere(wire)):
        body += decoder.feed(piece)  # more comes while some waits
    while decoder.is_behind:
        assert (decoder.complete, decoder.surplus) == (False, False)
        body += decoder.feed(b"")
    assert (body, decoder.complete) == (b"x" * size * count, True)
    assert decoder.surplus == len(surplus)


def test_what_waits_is_not_taken_for_as_many_bytes_that_come() -> None:
    """One part of the body is left then, and as long as the piece: not the piece itself."""
    decoder = ChunkedDecoder()
    pieces = [b"2\r\nxx\r\n" * 10, b"2\r\nxx\r\n" * 11 + b"2\r\nx", b"y\r", b"\n0\r\n\r\n"]
    assert b"".join(map(decoder.feed, pieces)) == b"x" * 43 + b"y"
    assert decoder.complete


@given(st.data(), st.one_of(chunked, st.binary(max_size=40)))
@example(None, b"0\r\nA\x00: b\r\n\r\n")
def test_a_chunked_body_is_read_alike_in_any_pieces(
    data: st.DataObject | None, wire: bytes
) -> None:
    pieces = data.draw(made.cut_anywhere(wire)) if data is not None else [wire[:3], wire[3:]]
    assert decoded(pieces) == decoded([wire]) == decoded([bytes([byte]) for byte in wire])


@given(st.sampled_from([1, 4095, 65536]), st.data())
def test_a_body_that_is_cut_short_is_never_whole(size: int, data: st.DataObject) -> None:
    wire = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
    cut = data.draw(st.integers(0, len(wire) - 1))
    decoder = ChunkedDecoder()
    decoder.feed(wire[:cut])
    with pytest.raises(Truncated):
        decoder.eof()
