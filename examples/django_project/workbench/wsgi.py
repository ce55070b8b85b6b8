"""The WSGI application: Django, wrapped so that ports open under each project's page."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
django_application = get_wsgi_application()  # loads the apps, so it comes before their imports

from django.conf import settings

from projects.permissions import may_open_port
from wsgi_portproxy import Listen, PortProxy, UrlForms
from wsgi_portproxy.contrib.django import authorizer

urls = UrlForms()
if settings.PORT_FORM:
    # Listens there itself, as suits a demo. On a larger site gunicorn or its front end does: see
    # ../../gunicorn/gunicorn.conf.py.
    urls = UrlForms(host_template=settings.PORT_FORM, listen=Listen())

application = PortProxy(
    django_application,
    authorizer=authorizer(may_open_port),
    mount="/{username}/{project}",
    ports=settings.PORT_RANGE,
    urls=urls,
)
