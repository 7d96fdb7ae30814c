"""The sub-command that shows where a job comes from, down to input files."""

from __future__ import annotations

from typing import Annotated

import typer

from cortax.cli.app import app
from cortax.project import find_root

__all__ = ["show"]


@app.command()
def show(
    job: Annotated[str, typer.Argument(help="such as main-12, or demo/tune/schaefer-100/ridge")],
    as_json: Annotated[bool, typer.Option("--json", help="all that is known, for programs")] = False,
) -> None:
    """Show what a job was made from: inputs as a tree down to input files, code, versions and options."""
    from cortax.cli.origins import print_origins

    print_origins(find_root(), job, as_json=as_json)
