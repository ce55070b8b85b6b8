"""Who may view a project and open its ports. The pages and the proxy ask the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .models import Project, ReservedPort

if TYPE_CHECKING:
    from wsgi_portproxy import Target


def project_or_refusal(request: HttpRequest, username: str, name: str) -> Project | HttpResponse:
    """The project if the visitor may view it, else what to answer.

    Whoever is not signed in is asked to, and comes back here afterwards. A project that is not
    shared with the visitor looks exactly like one that does not exist.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    visible = Project.visible_to(request.user)
    project = visible.filter(owner__username=username, name=name).first()
    return project or render(request, "404.html", status=404)


def may_open_port(request: HttpRequest, target: Target) -> bool | HttpResponse:
    """The proxy's authorizer: whoever may view the project may use its ports, and no other's."""
    found = project_or_refusal(request, target.params["username"], target.params["project"])
    if isinstance(found, HttpResponse):
        return found
    reserved = ReservedPort.objects.filter(number=target.port).first()
    if reserved is None or reserved.project_id == found.pk:
        return True
    context = {"port": target.port, "project": found}
    return render(request, "projects/port_elsewhere.html", context, status=403)
