"""The service behind a port that the authorizers guard."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.conftest import ServiceFactory
from tests.support.received import Received, recording
from tests.support.service import Service


@dataclass
class Echo:
    """A service that says "hi", and what reached it."""

    service: Service
    received: list[Received]

    @property
    def port(self) -> int:
        return self.service.port


@pytest.fixture
def echo(service: ServiceFactory) -> Echo:
    received: list[Received] = []
    return Echo(service(recording(received)), received)


def setting_cookies(*names: str) -> bytes:
    """An answer that sets these cookies for the whole site."""
    fields = [f"Set-Cookie: {name}=evil; Path=/" for name in names]
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 2", *fields, "", "hi"]).encode()


def as_set(port: int, path: str, *names: str) -> list[str]:
    """What becomes of them: those of the site's own names, and the last, which is none."""
    renamed = [f"portproxy.{port}.{name}" for name in names[:-1]]
    return [f"{name}=evil; Path={path}" for name in (*renamed, names[-1])]
