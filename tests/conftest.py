"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

from cortax.provenance import reads

# A machine that does other things as well is no failure. In continuous integration the examples are the same each time,
# so that what fails there fails again; elsewhere every run looks for new ones.
settings.register_profile("cortax", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cortax")


@pytest.fixture(autouse=True)
def _nothing_is_watched(monkeypatch):
    """Once `methods` is imported, a process notes what own code reads: here tests, which are no part of a job."""
    monkeypatch.setattr(reads._watch, "root", "")
