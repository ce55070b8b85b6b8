"""`python -m wsgi_portproxy`, as a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.ports import free_port
from tests.support.received import OK
from tests.support.servers import ROOT, running
from tests.support.service import answers
from tests.support.waiting import until
from wsgi_portproxy import __version__

COMMAND = [sys.executable, "-m", "wsgi_portproxy"]
APP = "tests.support.hostapp:app"
MOUNT = "--mount=/{username}/{project}"


def refused(*options: str) -> str:
    """The last line of what it says instead of serving."""
    done = subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("authorizer", ["ask", "tests.support.hostapp:may_view"])
def test_it_serves_an_app_and_its_ports(service: ServiceFactory, authorizer: str) -> None:
    opened, other, port = service(answers(OK)).port, service(answers(OK)).port, free_port()
    options = [APP, f"--authorizer={authorizer}", MOUNT, f"--port={port}"]
    options += [
        f"--ports={opened}-{opened}",
        "--host-template={port}--{project}--{username}.ports.test",
    ]
    with running([*COMMAND, *options], port, env={"PYTHONUNBUFFERED": "1"}) as server:
        path, here = f"/alice/vision/?port={opened}", f"localhost:{port}"
        assert ask(port, "GET", path, host=here).body == b"hi"
        assert ask(port, "GET", path, host=here, cookie="user=bob").status == 403
        refusal = ask(port, "GET", f"/alice/vision/?port={other}", host=here)
        assert refusal.status == 403
        assert refusal.text == f"Port {other} is outside allowed range ({opened}-{opened})\n"
        assert ask(port, "GET", path).status == 421, "another name may be anybody's"
        assert ask(port, "GET", "/login").text.startswith("the app: /login")
        assert ask(port, "GET", "/", host=f"{opened}--vision--alice.ports.test").body == b"hi"
        lines = [
            f"Serving {APP} on http://localhost:{port}/",
            f"Services on ports {opened}-{opened}: "
            f"http://localhost:{port}/{{username}}/{{project}}/?port=N",
            "Each opens at its own address: {port}--{project}--{username}.ports.test",
        ]
        until(lambda: server.output().splitlines()[:3] == lines, "it says what it serves")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["hostapp"], "'hostapp' is not of the form module:attribute"),
        (["tests.nothing:app"], "there is no module 'tests.nothing'"),
        (["tests.support.hostapp:nothing"], "'tests.support.hostapp' has no 'nothing'"),
        ([APP, "--mount=/{username"], "mount"),
        ([APP, "--ports=20-10"], "not a range of ports such as 10000-20000: '20-10'"),
        ([APP, "--ports=0-10"], "not a range of ports such as 10000-20000: '0-10'"),
        ([APP, "--ports=1-65536"], "not a range of ports such as 10000-20000: '1-65536'"),
        ([APP, "--ports=many"], "not a range of ports such as 10000-20000: 'many'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_is_told_in_one_line(options: list[str], said: str) -> None:
    assert said in refused(*options, "--authorizer=ask")


def test_an_authorizer_has_to_be_named() -> None:
    assert refused(APP).endswith("the following arguments are required: --authorizer")


def test_the_version() -> None:
    done = subprocess.run([*COMMAND, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"wsgi_portproxy {__version__}\n"
