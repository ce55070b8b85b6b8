"""`manage.py seed`: the users and projects of the demo. Running it again changes nothing."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction

from projects.models import Project, ReservedPort

USERS = ["alice", "bob", "carol"]


class Command(BaseCommand):
    help = "Creates the demo's users and projects, as far as they are missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--tensorboard-port", type=int, default=16006, help="reserved for alice/vision"
        )

    @transaction.atomic
    def handle(self, *args: Any, tensorboard_port: int, **options: Any) -> None:
        alice, bob, carol = (demo_user(name) for name in USERS)
        vision = demo_project(alice, "vision", "Two training runs of an image classifier.")
        vision.viewers.add(carol)
        demo_project(alice, "handbook", "How we work. Every colleague may read it.", public=True)
        demo_project(bob, "audio", "Speech recordings, not shared with anybody.")
        ReservedPort.objects.update_or_create(
            number=tensorboard_port, defaults={"project": vision, "label": "TensorBoard"}
        )
        self.stdout.write(f"{User.objects.count()} users, {Project.objects.count()} projects")


def demo_user(name: str) -> User:
    """The user, with a password that everybody knows: for a demo on one's own machine only."""
    user: User
    user, created = User.objects.get_or_create(username=name)
    if created:
        user.set_password(f"{name}-demo")
        user.save()
    return user


def demo_project(owner: User, name: str, description: str, *, public: bool = False) -> Project:
    defaults = {"description": description, "public": public}
    project: Project
    project, _ = Project.objects.get_or_create(owner=owner, name=name, defaults=defaults)
    return project
