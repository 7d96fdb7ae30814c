"""Commands for studies of brain regions; what they compute with is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cortax.project import find_root
from cortax.terminal import console, print_heading, print_table, study_path

__all__ = ["commands", "print_best"]

commands = typer.Typer()

Where = Annotated[list[str] | None, typer.Option(help="column=pattern, such as target=sex; repeatable")]
BuiltStudy = Annotated[str, typer.Argument(help="study file, or name of a file in studies/; it must have been built")]


def print_best(root: Path, study: str) -> None:
    """The best parcellation and pipeline for each target by its first metric, and how to look further."""
    from cortax.workflow.lookup.results import read_table
    from cortax.workloads.regions.tables import best

    say = console().print
    print_heading(study, "for each target the best mean over folds (an optimistic choice among many)")
    print_table(best(read_table(root, study)))
    say(f"{len(read_table(root, study, 'dropped'))} subjects were left out\n")
    say(
        f"cortax results {study}                  every parcellation and pipeline\n"
        f"cortax results {study} --table dropped  who was left out, and why\n"
        f"cortax results {study} --why            what ran, and why\n"
        f"ax urd :{study}:                        the jobs of this build\n"
        f"ax ds :{study}:scores                   the scores as a dataset (also results/{study}/scores.parquet)"
    )


@commands.command()
def check(study: BuiltStudy) -> None:
    """Look for leaks: fits that see test rows, subjects in two groups, targets among regions and confounds."""
    from cortax.workflow.workload import read_study
    from cortax.workloads.regions.leaks import check_leaks

    root = find_root()
    n_checks = n_findings = 0
    for checked in check_leaks(root, read_study(study_path(root, study), kind="regions")):
        n_checks, n_findings = n_checks + 1, n_findings + len(checked.findings)
        print(f"{'BAD ' if checked.findings else 'ok  '} {checked.what}")
        for finding in checked.findings:
            by_chance = f" (by chance: {finding.chance:.1g})" if finding.chance else ""
            print(f"      {finding.message}{by_chance}")
    print(f"{n_checks} checks, {n_findings} findings")
    if n_findings:
        raise typer.Exit(1)


@commands.command()
def compare(
    study: Annotated[str, typer.Argument(help="name of a study that has been built, with [comparisons] in its file")],
    where: Where = None,
    over_targets: Annotated[bool, typer.Option("--over-targets", help="tests over all targets")] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="the interval of every score")] = False,
    every: Annotated[bool, typer.Option("--all", help="every column")] = False,
) -> None:
    """Print which pipelines and parcellations differ: differences (a minus b), intervals and tests."""
    from cortax.workflow.lookup.results import filtered, read_table
    from cortax.workloads.regions.tables import readable_comparisons

    name = "over_targets" if over_targets else "intervals" if intervals else "comparisons"
    table = filtered(read_table(find_root(), study, name), where or [])
    print_table(table if every or name != "comparisons" else readable_comparisons(table))
    if name == "comparisons":
        console().print(
            "p_fdr is adjusted for all tests of one kind and metric; practical: P(a lower, no difference, a higher)"
        )


@commands.command()
def export(
    study: BuiltStudy,
    parcellation: Annotated[str, typer.Option(help="one of the study's parcellations (or tables)")],
    pipeline: Annotated[str, typer.Option(help="one of the study's pipelines")],
    target: Annotated[str, typer.Option(help="one of the study's targets")],
    out: Annotated[Path, typer.Option(help="folder; or file: *.func.gii, *.dscalar.nii, *.nii.gz, *.csv")],
    kind: Annotated[str, typer.Option(help="permutation, coefficient, standardised or pattern")] = "permutation",
    statistic: Annotated[str, typer.Option(help="over folds: mean, sd or same_sign")] = "mean",
    template: Annotated[Path | None, typer.Option(help="CIFTI file with the grayordinates, of *.dscalar.nii")] = None,
) -> None:
    """Write the importance of every region as images of the brain (GIFTI, CIFTI or NIfTI) and as CSV."""
    from cortax.workflow.workload import read_study
    from cortax.workloads.regions import exports

    root = find_root()
    wanted = exports.Wanted(parcellation, pipeline, target, kind, statistic)
    given = read_study(study_path(root, study), kind="regions")
    for path in exports.export(root, given, wanted, out, template=template):
        print(path)


@commands.command()
def permutations(
    study: Annotated[str, typer.Argument(help="name of a study that has been built")], where: Where = None
) -> None:
    """Print the permutation tests of a study: p of each, and corrected for all of its metric (q, and p_max of any)."""
    from cortax.learning.stats.permutation_tests import warnings_of
    from cortax.workflow.lookup.results import filtered, read_table
    from cortax.workloads.regions.tables import readable_permutations

    table = filtered(read_table(find_root(), study, "permutations"), where or [])
    print_table(readable_permutations(table))
    for warning in warnings_of(table):
        console().print(warning)
    if len(table):
        drawn = table["n_permutations"]
        n = f"{drawn.min()}" if drawn.min() == drawn.max() else f"{drawn.min()} to {drawn.max()}"
        console().print(f"{n} permutations, {table['exchange'].iloc[0]}")


@commands.command()
def scaling(
    what: Annotated[str, typer.Argument(help="a table of parcellation, size, mean_rank, type; or a study's name")],
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """Print the power law between the size of parcellations and their mean rank."""
    from cortax.workloads.regions.commands.scaling import print_scaling

    print_scaling(what, as_json=as_json)
