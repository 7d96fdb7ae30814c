"""What holds for all tests."""

import os

from hypothesis import settings

# A machine that does other things as well is no failure. In continuous integration the examples are the same each time,
# so that what fails there fails again; elsewhere every run looks for new ones.
settings.register_profile("cortax", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cortax")
