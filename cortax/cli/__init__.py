"""The `cortax` command: one function a sub-command, each a few calls into the library."""

from cortax.cli import building, looking, mending
from cortax.cli.app import app, main

__all__ = ["app", "building", "looking", "main", "mending"]
