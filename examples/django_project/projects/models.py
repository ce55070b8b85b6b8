"""Projects, who may view them, and the ports that belong to one project alone."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse


class Project(models.Model):
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="owned_projects"
    )
    name = models.SlugField(max_length=50)
    description = models.CharField(max_length=200, blank=True)
    viewers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="shared_projects"
    )
    public = models.BooleanField(
        default=False, help_text="Everybody who is signed in may view the project."
    )

    class Meta:
        ordering = ["owner__username", "name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="one_name_per_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.owner.get_username()}/{self.name}"

    def get_absolute_url(self) -> str:
        return reverse("project", args=[self.owner.get_username(), self.name])

    @classmethod
    def visible_to(cls, user: AbstractBaseUser | AnonymousUser) -> models.QuerySet[Project]:
        """The view permission, stated once: owned, shared, or public. Nothing without signing in.

        Public is not "for everybody on the internet" here: who may view a project may also use
        the services behind its ports, and those may be notebooks that run code.
        """
        visible: models.QuerySet[Project] = cls.objects.none()
        if user.is_authenticated:
            permitted = models.Q(owner=user) | models.Q(viewers=user) | models.Q(public=True)
            visible = cls.objects.filter(permitted).select_related("owner").distinct()
        return visible


class ReservedPort(models.Model):
    """A port that opens from its own project only.

    All services run on one machine, so without this a port could be opened from any project that
    the visitor may view, and the permission of the project next door would be worth nothing.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="reserved_ports")
    number = models.PositiveIntegerField(
        unique=True,
        validators=[
            MinValueValidator(settings.PORT_RANGE[0]),
            MaxValueValidator(settings.PORT_RANGE[-1]),
        ],
    )
    label = models.CharField(max_length=50, blank=True)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.number} ({self.project})"
