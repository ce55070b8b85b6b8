"""How much these tests try.

`same` tries the same examples each time and everywhere, so that what fails fails for everybody.
`nightly` looks for new ones, ten times as many: `make fuzz` runs it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `deadline`: two cores that are busy with servers make any single example slow.
settings.register_profile(
    "same",
    derandomize=True,
    print_blob=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly", settings.get_profile("same"), derandomize=False, max_examples=1000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
