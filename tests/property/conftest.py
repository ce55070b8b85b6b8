"""How much these tests try: `quick` by default, four times as much in CI.

Both try the same examples each time, so that what fails fails for everybody. `nightly` looks for
new ones, forty times as many: `make fuzz` runs it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `deadline`: two cores that are busy with servers make any single example slow.
settings.register_profile(
    "quick",
    derandomize=True,
    print_blob=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("quick"), max_examples=100)
settings.register_profile(
    "nightly", settings.get_profile("quick"), derandomize=False, max_examples=1000
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "quick")
)
