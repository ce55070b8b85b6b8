"""The WSGI application: Django, wrapped so that ports open under each project's page."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
django_application = get_wsgi_application()  # loads the apps, so it comes before their imports

from django.conf import settings

from projects.permissions import may_open_port
from wsgi_portproxy import PortProxy
from wsgi_portproxy.contrib.django import authorizer

application = PortProxy(
    django_application,
    authorizer=authorizer(may_open_port),
    mount="/{username}/{project}",
    ports=settings.PORT_RANGE,
)
