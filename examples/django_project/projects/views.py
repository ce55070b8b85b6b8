"""The pages: all of a user's projects, one project, and reserving ports for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from .forms import ReservePortForm
from .models import Project, ReservedPort
from .permissions import project_or_refusal

Args = ParamSpec("Args")
ProjectView = Callable[Concatenate[HttpRequest, Project, Args], HttpResponse]

# What the project page suggests to start, with the port that goes with it.
EXAMPLES = [
    ("TensorBoard", 16006, "tensorboard --logdir=./logs --port=16006"),
    ("MLflow", 15555, "mlflow ui --port=15555 --host=127.0.0.1"),
    ("FastAPI", 15100, "uvicorn main:app --host 127.0.0.1 --port 15100"),
    ("Files of a folder", 15000, "python3 -m http.server 15000 --bind 127.0.0.1"),
]


def project_access_required(
    view: ProjectView[Args],
) -> Callable[..., HttpResponse]:
    """Give the view the project that its URL names, or answer instead if it may not be seen."""

    @wraps(view)
    def guarded(
        request: HttpRequest, username: str, name: str, *args: Args.args, **kwargs: Args.kwargs
    ) -> HttpResponse:
        found = project_or_refusal(request, username, name)
        return found if isinstance(found, HttpResponse) else view(request, found, *args, **kwargs)

    return guarded


def owner_only(view: ProjectView[Args]) -> ProjectView[Args]:
    @wraps(view)
    def guarded(
        request: HttpRequest, project: Project, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> HttpResponse:
        if project.owner != request.user:
            return render(request, "403.html", status=403)
        return view(request, project, *args, **kwargs)

    return guarded


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "projects/home.html", {"projects": Project.visible_to(request.user)})


@require_safe
@project_access_required
def project_page(request: HttpRequest, project: Project) -> HttpResponse:
    return render_project(request, project, ReservePortForm())


@require_POST
@project_access_required
@owner_only
def reserve_port(request: HttpRequest, project: Project) -> HttpResponse:
    form = ReservePortForm(request.POST, instance=ReservedPort(project=project))
    if not form.is_valid():
        return render_project(request, project, form, status=422)
    port = form.save()
    messages.success(request, f"Port {port.number} now opens from this project only.")
    return redirect(project)


@require_POST
@project_access_required
@owner_only
def release_port(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    get_object_or_404(project.reserved_ports, number=number).delete()
    messages.success(request, f"Port {number} is free again.")
    return redirect(project)


def render_project(
    request: HttpRequest, project: Project, form: ReservePortForm, status: int = 200
) -> HttpResponse:
    context = {
        "project": project,
        "form": form,
        "examples": EXAMPLES,
        "first_port": settings.PORT_RANGE[0],
        "last_port": settings.PORT_RANGE[-1],
    }
    return render(request, "projects/project.html", context, status=status)
