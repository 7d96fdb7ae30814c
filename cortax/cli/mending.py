"""Sub-commands that check, mend and tidy a project."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from cortax import project
from cortax.cli.app import app
from cortax.project import find_root

__all__ = ["doctor", "gc", "verify"]


@app.command()
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be mended")] = False,
) -> None:
    """Check what a build needs, and mend what keeps Exax from starting; nothing is lost, see .cortax/quarantine."""
    from cortax.workflow.guarding import doctor as checks

    root = find_root()
    failed = False
    for line in itertools.chain(checks.treat(root, dry_run=dry_run), checks.examine(root)):
        failed |= not line.good
        print(f"{'FIX ' if line.mended else 'ok  ' if line.good else 'BAD '} {line.subject}: {line.state}")
    if failed:
        raise typer.Exit(1)


@app.command()
def verify() -> None:
    """Digest every job's files; what is damaged is named, and the next build makes it anew."""
    from cortax.workflow.guarding.verify import verify as verify_jobs

    checked, damaged = verify_jobs(project.jobs_folder(find_root()))
    for job, what in damaged.items():
        print(f"{job}: {'; '.join(what)}")
    print(f"{checked} jobs checked, {len(damaged)} damaged" + ("; the next build repairs them" if damaged else ""))
    if damaged:
        raise typer.Exit(1)


@app.command()
def gc(
    older_than: Annotated[str | None, typer.Option(help="only what is older, such as 30d")] = None,
    keep_size: Annotated[str | None, typer.Option(help="jobs only until the workdir is below this, as 50GB")] = None,
    builds: Annotated[int | None, typer.Option(min=1, help="only so many newest builds of each study count")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove it; without this it is only listed")] = False,
) -> None:
    """Remove jobs that no build needs, and old caches, quarantines and checkpoints."""
    from cortax.workflow.guarding.collect import check_idle, find_waste, remove, seconds_of, size_of

    root = find_root()
    age = None if older_than is None else seconds_of(older_than)
    size = None if keep_size is None else size_of(keep_size)
    with project.build_lock(root, "`cortax gc`"):
        check_idle(root)
        waste = find_waste(root, older_than=age, keep_size=size, n_builds=builds)
        for each in waste:
            print(f"{each.path.name}: {each.why}, {each.age / 86400:.1f} days old, {each.size / 1e6:.1f} MB")
        if yes:
            remove(waste)
    total = f"{len(waste)} things, {sum(each.size for each in waste) / 1e6:.1f} MB"
    print(f"removed {total}" if yes else f"would remove {total}; with --yes it does")
