"""How much these tests try. By default the same examples each time, so that what fails in CI fails
for everybody; `HYPOTHESIS_PROFILE=search` looks for new ones, twenty times as many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `deadline`: two cores that are busy with servers make any single example slow.
settings.register_profile(
    "ci",
    derandomize=True,
    print_blob=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("ci"), derandomize=False, max_examples=1000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
