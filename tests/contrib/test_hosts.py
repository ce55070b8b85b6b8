"""The names that the app's framework answers to are known without being said twice."""

from __future__ import annotations

from collections.abc import Callable

import flask
import pytest
from werkzeug.test import Client

from tests.contrib.conftest import Echo
from tests.contrib.djangosetup import set_up
from wsgi_portproxy import PortProxy
from wsgi_portproxy.contrib.django import authorizer as of_django
from wsgi_portproxy.contrib.flask import authorizer as of_flask

set_up()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.test import override_settings  # noqa: E402

NAMES = ["app.test", ".below.test", "*", "http://no.test", "two.test:8080"]


def with_flask(names: list[str]) -> PortProxy:
    app = flask.Flask("site")
    app.config["TRUSTED_HOSTS"] = names
    return PortProxy(app.wsgi_app, authorizer=of_flask(app, lambda target: True))


def with_django(names: list[str]) -> PortProxy:
    with override_settings(ALLOWED_HOSTS=names):
        authorizer = of_django(lambda request, target: True)
    return PortProxy(get_wsgi_application(), authorizer=authorizer)


@pytest.mark.parametrize("made", [with_flask, with_django])
@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        *(("app.test", True), ("APP.test:8000", True), ("x.below.test", True)),
        *(("localhost", True), ("127.0.0.1:8000", True)),
        *(
            ("x.app.test", False),
            ("evil.test", False),
            ("no.test", False),
            ("two.test:8080", False),
        ),
    ],
)
def test_services_are_told_localhost_by_names_of_the_framework_only(
    made: Callable[[list[str]], PortProxy], echo: Echo, name: str, is_known: bool
) -> None:
    proxy = made(NAMES)
    client = Client(proxy, use_cookies=False)
    assert client.get(f"/x?port={echo.port}", headers={"Host": name}).data == b"hi"
    proxy.close()
    told = f"localhost:{echo.port}" if is_known else name
    assert echo.received[0].values("Host") == [told]


@pytest.mark.parametrize("made", [with_flask, with_django])
def test_where_the_framework_names_none_no_name_is_known(
    made: Callable[[list[str]], PortProxy], echo: Echo
) -> None:
    for names in ([], ["*"]):
        proxy = made(names)
        client = Client(proxy, use_cookies=False)
        client.get(f"/x?port={echo.port}", headers={"Host": "app.test"})
        proxy.close()
    assert [one.values("Host") for one in echo.received] == [["app.test"]] * 2
