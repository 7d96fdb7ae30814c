"""Sub-command that writes what a build found out about regions as images and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cortax.cli.app import app, study_path
from cortax.grid import exports
from cortax.project import find_root
from cortax.study import read_study

__all__ = ["export"]


@app.command()
def export(
    study: Annotated[str, typer.Argument(help="study file, or name of a file in studies/; it must have been built")],
    parcellation: Annotated[str, typer.Option(help="one of the study's parcellations (or tables)")],
    pipeline: Annotated[str, typer.Option(help="one of the study's pipelines")],
    target: Annotated[str, typer.Option(help="one of the study's targets")],
    out: Annotated[Path, typer.Option(help="folder; or file: *.func.gii, *.dscalar.nii, *.nii.gz, *.csv")],
    kind: Annotated[str, typer.Option(help="permutation, coefficient, standardised or pattern")] = "permutation",
    statistic: Annotated[str, typer.Option(help="over folds: mean, sd or same_sign")] = "mean",
    template: Annotated[Path | None, typer.Option(help="CIFTI file with the grayordinates, of *.dscalar.nii")] = None,
) -> None:
    """Write the importance of every region as images of the brain (GIFTI, CIFTI or NIfTI) and as CSV."""
    root = find_root()
    wanted = exports.Wanted(parcellation, pipeline, target, kind, statistic)
    for path in exports.export(root, read_study(study_path(root, study)), wanted, out, template=template):
        print(path)
