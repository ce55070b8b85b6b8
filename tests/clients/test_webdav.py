"""WebDAV: WsgiDAV, and a client that names where a file is to go by a URL of the visitor's."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from webdav4.client import Client  # type: ignore[import-untyped]

from tests.support.client import ask
from tests.support.ports import free_port
from tests.support.servers import running

from .conftest import Way

CONTENT = bytes(range(256)) * 8_000  # two megabytes
WSGIDAV = Path(sys.executable).with_name("wsgidav")


@dataclass(frozen=True)
class Share:
    """A WebDAV server that needs no login, and the folder that it serves."""

    port: int
    folder: Path


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Share]:
    folder = tmp_path_factory.mktemp("share")
    port = free_port()
    command = [str(WSGIDAV), "--host", "127.0.0.1", "--port", str(port), "--root", str(folder)]
    command += ["--auth", "anonymous", "--server", "cheroot", "--no-config"]
    with running(command, port, probe=lambda port: ask(port, "GET", "/", cookie="")):
        yield Share(port, folder)


@dataclass(frozen=True)
class Visit:
    """A client at the address of a folder of its own, and the answers that it got."""

    base: str
    folder: Path
    client: Client
    answers: list[tuple[str, int]]


@pytest.fixture
def visit(way: Way, share: Share) -> Iterator[Visit]:
    folder = Path(tempfile.mkdtemp(dir=share.folder))
    base = way.base(share.port) + folder.name
    answers: list[tuple[str, int]] = []

    def note(answer: httpx.Response) -> None:
        answers.append((answer.request.method, answer.status_code))

    with way.client(event_hooks={"response": [note]}) as http:
        yield Visit(base, folder, Client(base, http_client=http, retry=False), answers)


# Names whose URLs are escaped, also in the Destination.
@pytest.mark.parametrize("name", ["loaf.bin", "größe 1.bin"], ids=["plain", "escaped"])
def test_files_are_put_moved_copied_and_deleted(visit: Visit, name: str) -> None:
    client, folder = visit.client, visit.folder
    client.upload_fileobj(io.BytesIO(CONTENT), "dough.bin", overwrite=True)
    assert (folder / "dough.bin").read_bytes() == CONTENT
    client.move("dough.bin", name)
    assert [one.name for one in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == CONTENT
    client.copy(name, f"copy of {name}")
    assert (folder / f"copy of {name}").read_bytes() == CONTENT
    client.move(f"copy of {name}", name, overwrite=True)
    assert (folder / name).read_bytes() == CONTENT
    client.remove(name)
    assert list(folder.iterdir()) == []
    assert visit.answers == [
        ("PUT", 201),
        ("MOVE", 201),
        ("COPY", 201),
        ("MOVE", 204),  # there was one
        ("DELETE", 204),
    ]


def test_a_folder_is_made_moved_and_copied_with_what_is_in_it(visit: Visit) -> None:
    client, folder = visit.client, visit.folder
    client.mkdir("today")
    client.upload_fileobj(io.BytesIO(CONTENT), "today/loaf.bin", overwrite=True)
    client.move("today", "yesterday")
    client.copy("yesterday", "two days ago")
    assert sorted(one.name for one in folder.iterdir()) == ["two days ago", "yesterday"]
    for one in folder.iterdir():
        assert (one / "loaf.bin").read_bytes() == CONTENT
    client.remove("yesterday")
    assert [one.name for one in folder.iterdir()] == ["two days ago"]
    assert [status for _, status in visit.answers] == [201, 201, 201, 201, 204]


def test_nothing_is_written_over_unless_the_client_says_so(visit: Visit) -> None:
    (visit.folder / "old.bin").write_bytes(b"old")
    (visit.folder / "new.bin").write_bytes(b"new")
    with pytest.raises(Exception, match=r"old\.bin already exists"):
        visit.client.move("new.bin", "old.bin")
    assert visit.answers == [("MOVE", 412)]
    assert (visit.folder / "old.bin").read_bytes() == b"old"


def test_a_file_is_read_byte_for_byte(visit: Visit, way: Way) -> None:
    (visit.folder / "loaf.bin").write_bytes(CONTENT)
    with way.client() as client:
        assert client.get(f"{visit.base}/loaf.bin").content == CONTENT
