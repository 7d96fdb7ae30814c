"""The command of a toy."""

from typing import Annotated

import typer

from cortax.project import find_root
from cortax.terminal import print_table

commands = typer.Typer()


def print_totals(root, study):
    """Print what a build came to."""
    from cortax.workflow.lookup.results import read_table

    print_table(read_table(root, study))


@commands.command("toy-sum")
def toy_sum(study: Annotated[str, typer.Argument(help="name of a toy that has been built")]) -> None:
    """Print the sum of all totals of a toy."""
    from cortax.workflow.lookup.results import read_table

    print(read_table(find_root(), study)["total"].sum())
