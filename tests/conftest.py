"""What holds for all tests."""

from hypothesis import settings

# A machine that does other things as well is no failure.
settings.register_profile("cortax", deadline=None)
settings.load_profile("cortax")
