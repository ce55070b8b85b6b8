"""What is kept of the environ of a request that has left its server and may last for days.

The server's own objects are not: they hold its buffers and its connection. Neither are objects of
other middlewares, such as a database session. As bytes, because thousands of requests may wait: a
dict of the same values takes five times the memory.
"""

from __future__ import annotations

import io
import marshal
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})


def kept_of(environ: WSGIEnvironment) -> bytes:
    """The plain values of `environ`, for `environ_of`."""
    plain = {key: value for key, value in environ.items() if type(value) in _PLAIN}
    return zlib.compress(marshal.dumps(plain), 1)


def environ_of(kept: bytes) -> WSGIEnvironment:
    """An environ with these values and an empty body."""
    environ: WSGIEnvironment = marshal.loads(zlib.decompress(kept))  # noqa: S302  # nosec B302
    return {
        **environ,
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
