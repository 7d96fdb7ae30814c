"""The `cortax` command: one function a sub-command, each a few calls into the library."""

from cortax.cli import (
    building,
    checking,
    comparing,
    exporting,
    looking,
    mending,
    networks,
    parallel,
    permutations,
    scaling,
    showing,
)
from cortax.cli.app import app, main

__all__ = [
    "app",
    "building",
    "checking",
    "comparing",
    "exporting",
    "looking",
    "main",
    "mending",
    "networks",
    "parallel",
    "permutations",
    "scaling",
    "showing",
]
