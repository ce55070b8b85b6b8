"""Apps as they are deployed: with users, forms that no other site can forge, uploads, and sockets.

They are one bakery, written in each framework as its documentation has it. What they check is where
a proxy is noticed: the Origin and Referer of a form, and of a WebSocket's handshake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from playwright.sync_api import Page, expect

from .own_apps import THE_APP_GOES_FIRST
from .service import Guide, Service
from .tour import Tour

# More than Django and Starlette keep in memory, so that it goes through a file of theirs.
PHOTO = bytes(range(256)) * 12_000
UPLOADED = "a file of 3 MB uploaded, which arrives byte for byte"
TWICE = "a form that is posted twice, and keeps its entries in the session"
OTHERS = (
    "Other users of the machine can connect there too, which is what the app's own login is for."
)


def log_in(tour: Tour, page: Page, path: str) -> None:
    tour.stays(page, path)
    page.get_by_label("User").fill("carol")
    page.get_by_label("Password").fill("carol-demo")
    page.get_by_role("button", name="Log in").click()
    see_the_orders(page)


def see_the_orders(page: Page) -> None:
    expect(page.get_by_role("heading")).to_have_text("Orders of carol")


def order_twice(tour: Tour, page: Page, see: Callable[[Page], None]) -> None:
    """`see`: that the page has done all it does, before it is left: else that may fail, and the
    browser would complain."""
    see(page)
    for ordered in (["rye"], ["rye", "spelt"]):
        page.get_by_label("Item").fill(ordered[-1])
        page.get_by_role("button", name="Order").click()
        expect(page.get_by_role("listitem")).to_have_text(ordered)
        see(page)
    page.reload()
    expect(page.get_by_role("listitem")).to_have_text(ordered)
    see(page)
    tour.stays(page, "orders")


def upload_a_photo(tour: Tour, page: Page, see: Callable[[Page], None]) -> None:
    photo = {"name": "rye.jpg", "mimeType": "image/jpeg", "buffer": PHOTO}
    page.get_by_label("Photo").set_input_files(photo)  # type: ignore[arg-type]
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading")).to_have_text("rye.jpg")
    expect(page.locator("#digest")).to_have_text(hashlib.sha256(PHOTO).hexdigest())
    tour.stays(page, "upload")
    page.get_by_role("link", name="Orders").click()
    see_the_orders(page)
    see(page)


def log_out(tour: Tour, page: Page, path: str) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("User")).to_be_visible()
    tour.stays(page, path)


# --- Flask


def use_flask_socketio(tour: Tour) -> None:
    page = tour.open()
    log_in(tour, page, "login")
    order_twice(tour, page, see_the_chat)
    upload_a_photo(tour, page, see_the_chat)
    log_out(tour, page, "login")


def see_the_chat(page: Page) -> None:
    """Each time that the page is loaded it says hello, and again once it has a WebSocket."""
    expect(page.locator("#polling")).to_have_text("said carol: hello")
    expect(page.locator("#websocket")).to_have_text("said carol: hello again")


FLASK_SOCKETIO = Service(
    name="flask-socketio",
    title="Flask-SocketIO",
    command="gunicorn --threads 100 --bind 127.0.0.1:{port} app:app",
    port=15000,
    app="flask_socketio",
    use=use_flask_socketio,
    guide=Guide(
        start="`SocketIO(app)`, and beside it Flask-Login and Flask-WTF.",
        tried=(
            "the login and logout of Flask-Login",
            f"{TWICE}, with the CSRF token of Flask-WTF",
            f"{UPLOADED}, with such a token too",
            (
                "an event of Socket.IO and the answer to it, by polling and then by the WebSocket "
                "that it moves to, from a user whom Flask-Login knows"
            ),
            "reload",
        ),
        loopback=f"`--bind 127.0.0.1:15000` does it. {OTHERS}",
        limits=(THE_APP_GOES_FIRST,),
    ),
)

# --- Django


def use_django_forms(tour: Tour) -> Page:
    page = tour.open()
    log_in(tour, page, "accounts/login/")
    order_twice(tour, page, see_the_orders)
    upload_a_photo(tour, page, see_the_orders)
    return page


def use_django_wsgi(tour: Tour) -> None:
    log_out(tour, use_django_forms(tour), "accounts/login/")


def use_django_asgi(tour: Tour) -> None:
    page = use_django_forms(tour)
    page.get_by_role("link", name="Greeting").click()
    see_the_greeting(page)
    page.reload()
    see_the_greeting(page)
    tour.stays(page, "greeting/")
    page.go_back()
    log_out(tour, page, "accounts/login/")


def see_the_greeting(page: Page) -> None:
    """What the WebSocket answered."""
    expect(page.locator("#greeting")).to_have_text("hello carol")


DJANGO_TRIED = (
    "`DEBUG = False`, `ALLOWED_HOSTS = ['localhost']`, and the default names of the cookies",
    "the login and logout of `django.contrib.auth`",
    f"{TWICE}, with a CSRF token",
    f"{UPLOADED}, with such a token too",
    "reload",
)

DJANGO_WSGI = Service(
    name="django-wsgi",
    title="Django (WSGI)",
    command="gunicorn --bind 127.0.0.1:{port} project:wsgi_application",
    before="python3 project.py",
    port=15000,
    app="django_project",
    use=use_django_wsgi,
    guide=Guide(
        tried=DJANGO_TRIED,
        loopback=f"`--bind 127.0.0.1:15000` does it. {OTHERS}",
        limits=(THE_APP_GOES_FIRST,),
    ),
)

DJANGO_ASGI = Service(
    name="django-asgi",
    title="Django (ASGI)",
    command="uvicorn project:application --host 127.0.0.1 --port {port}",
    before="python3 project.py",
    port=15000,
    app="django_project",
    use=use_django_asgi,
    guide=Guide(
        start=(
            "With channels: `AllowedHostsOriginValidator` and `AuthMiddlewareStack` around its "
            "WebSockets."
        ),
        tried=(
            *DJANGO_TRIED,
            "a WebSocket of channels, which knows the user by the session's cookie",
        ),
        loopback=f"`--host 127.0.0.1` does it. {OTHERS}",
        limits=(THE_APP_GOES_FIRST,),
    ),
)

# --- FastAPI


def use_fastapi_session(tour: Tour) -> None:
    page = tour.open()
    log_in(tour, page, "login")
    order_twice(tour, page, see_the_shop)
    upload_a_photo(tour, page, see_the_shop)
    page.get_by_role("link", name="Loaf of the day").click()
    expect(page.get_by_role("heading")).to_have_text("Loaf 7")
    tour.stays(page, "loaves/7")
    page.get_by_role("link", name="Orders").click()
    see_the_shop(page)


def see_the_shop(page: Page) -> None:
    """Its stylesheet, picture and script are at the absolute URLs that `url_for` makes."""
    expect(page.get_by_role("heading")).to_have_css("color", "rgb(1, 2, 3)")
    expect(page.get_by_role("img", name="A loaf")).to_have_js_property("naturalWidth", 40)
    see_the_greeting(page)


FASTAPI_SESSION = Service(
    name="fastapi-session",
    title="FastAPI (sessions)",
    command="uvicorn main:app --host 127.0.0.1 --port {port}",
    port=15000,
    app="fastapi_session",
    use=use_fastapi_session,
    guide=Guide(
        start="With `SessionMiddleware`, templates and `StaticFiles`.",
        tried=(
            "a login, whose session has the cookie `session` here as in the app in front",
            TWICE,
            UPLOADED,
            "a link, a picture, a stylesheet and a script at the absolute URLs of `url_for`",
            "redirects to such URLs",
            "a WebSocket, which knows the user by the session's cookie",
            "reload",
        ),
        loopback=f"`--host 127.0.0.1` does it. {OTHERS}",
        limits=(THE_APP_GOES_FIRST,),
    ),
)
