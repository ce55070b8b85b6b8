"""Calls a WSGI application and holds its response back once the head is known.

`AskApp` reads the wrapped app's status this way without its body, `authorize` checks that an
authorizer returned an application, and `app_or_service` asks the app first about strays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class NotAnApplication(TypeError):
    """The callable did not behave like a WSGI application (PEP 3333)."""


class CapturedResponse:
    """An application's response: status, headers and the rest of the body. Can be called once as
    an application, which sends it.

    `status` is the code, `status_line` the application's own text. Raises `NotAnApplication`, and
    any error of the application. Call `close` on a response that is not sent.
    """

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self.status_line = ""
        self.headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._given_to: StartResponse | None = None
        body: Any = app(environ, self._start_response)
        self._body = body
        try:
            self._blocks: Iterator[bytes] = iter(body)
            if not self.status_line:
                # A generator calls start_response with its first block, which may be empty.
                self._written.extend(block for block in [next(self._blocks, None)] if block)
            self.status = int(self.status_line[:3])
        except (TypeError, ValueError) as error:
            self.close()
            raise NotAnApplication("no response was started") from error
        except BaseException:
            self.close()
            raise

    def begins(self) -> bool:
        """Whether the response has a body; waits for the first block."""
        while not any(self._written):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._written.append(block)
        return True

    def header(self, name: str) -> str | None:
        """The last value of the header `name` (in lower case); None if it is missing."""
        values = [value for key, value in self.headers if key.lower() == name]
        return values[-1] if values else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status_line, self.headers)
        self._given_to = start_response
        if environ["REQUEST_METHOD"] == "HEAD":
            # The app may have got a GET, and several servers send any body that they get.
            self._written, self._blocks = [], iter(())
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._written:
            try:
                block = next(self._blocks)
                self._written.append(block)  # after any block that the application wrote meanwhile
            except StopIteration:
                if not self._written:
                    raise
        return self._written.pop(0)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Any:
        if not isinstance(status, str):
            raise NotAnApplication("the status is not a string")
        if self._given_to is not None:  # an error in mid-body, which the server must learn of
            self._given_to(status, headers, exc_info)
        self.status_line, self.headers = status, list(headers)
        return self._written.append


class CountedInput:
    """A `wsgi.input` that counts the bytes read, so that we know how much of the body is left. Has
    the four methods of PEP 3333."""

    def __init__(self, body: Any, length: int) -> None:
        self._body = body
        self.rest = length

    @classmethod
    def in_place(cls, environ: WSGIEnvironment) -> CountedInput | None:
        """Put one into `environ` if the body has a length, and return it; otherwise None."""
        length = environ.get("CONTENT_LENGTH") or ""
        if not (length.isascii() and length.isdigit()):
            return None
        counted = cls(environ["wsgi.input"], int(length))
        environ["wsgi.input"] = counted
        return counted

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._body.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._body.readline(size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return [self._counted(line) for line in self._body.readlines(hint)]

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _counted(self, data: bytes) -> bytes:
        self.rest = max(0, self.rest - len(data))
        return data
