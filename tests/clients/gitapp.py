"""A git server: dulwich's, for all repositories in the folder that GIT_ROOT names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dulwich.server import FileSystemBackend
from dulwich.web import make_wsgi_chain

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

git: WSGIApplication = make_wsgi_chain(FileSystemBackend(os.environ["GIT_ROOT"]))


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """dulwich would decode a chunked body, as if gunicorn had not done so already."""
    if environ.get("wsgi.input_terminated"):
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    return git(environ, start_response)
