"""Sub-command that looks for leaks in a study."""

from __future__ import annotations

from typing import Annotated

import typer

from cortax.cli.app import app, study_path
from cortax.grid.leaks import check_leaks
from cortax.project import find_root
from cortax.study import read_study

__all__ = ["check"]


@app.command()
def check(
    study: Annotated[str, typer.Argument(help="study file, or name of a file in studies/; it must have been built")],
) -> None:
    """Look for leaks: fits that see test rows, subjects in two groups, targets among regions and confounds."""
    root = find_root()
    n_checks = n_findings = 0
    for checked in check_leaks(root, read_study(study_path(root, study))):
        n_checks, n_findings = n_checks + 1, n_findings + len(checked.findings)
        print(f"{'BAD ' if checked.findings else 'ok  '} {checked.what}")
        for finding in checked.findings:
            by_chance = f" (by chance: {finding.chance:.1g})" if finding.chance else ""
            print(f"      {finding.message}{by_chance}")
    print(f"{n_checks} checks, {n_findings} findings")
    if n_findings:
        raise typer.Exit(1)
