"""The `cortax` command: one function a sub-command, each a few calls into the library.

Modules of commands are light: what computes is imported within the functions, so that `--help` answers at once.
"""

from cortax.cli import building, init, looking, mending, showing
from cortax.cli.app import app, main

__all__ = ["app", "building", "init", "looking", "main", "mending", "showing"]
