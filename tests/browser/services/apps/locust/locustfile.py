"""A Locust user who only waits: no service is asked for anything."""

from __future__ import annotations

from locust import User, constant, task


class Baker(User):
    wait_time = constant(1)

    @task
    def bake(self) -> None:
        self.environment.events.request.fire(
            request_type="bake", name="a loaf", response_time=1, response_length=2, exception=None
        )
