"""Which targets are searched together.

Targets of one search share most of its work, so there are to be few blocks of many targets. But a block is one job, and
whatever it holds is searched anew when it gains or loses one. So blocks, once searched, stay what they are, and targets
that are new make one block more.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Block", "cut_blocks", "retired"]

Definition = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """Targets of one job, with what each was or is.

    Attributes
    ----------
    name : str
        Empty for the first block of a study; others are called by a target, and how many more there are.
    targets : mapping of target to its definition in the study file
        What is searched.
    takes : tuple of str, sorted
        For which of them its answer is the study's. Others are no longer asked for, or another block answers for them.
    by_fold : bool
        Whether each outer fold is a job.
    """

    name: str
    targets: Mapping[str, Definition]
    takes: tuple[str, ...] = ()
    by_fold: bool = False


def cut_blocks(
    targets: Mapping[str, Definition], known: Sequence[Block], *, by_fold: bool = False, most: int | None = None
) -> list[Block]:
    """Divide targets into blocks, so that what was searched before need not be searched again.

    Parameters
    ----------
    targets : mapping of target to definition
        What is asked for.
    known : sequence of Block
        Blocks whose jobs could be reused, the ones to prefer first; what was taken from them does not matter.
    by_fold : bool
        Whether each outer fold of a block that is new is a job.
    most : int, optional
        How many targets a block that is new may have.

    Returns
    -------
    list of Block
        By name. Every target, with its present definition, is taken from exactly one of them: from the first known
        block that holds it, or from a new block of those that none holds. A known block stays whole, whatever is
        taken from it. So with more targets every block stays, and takes what it took and perhaps more.
    """
    kept: list[Block] = []
    covered: set[str] = set()
    for block in known:
        takes = block.targets.keys() - retired(block, targets).keys() - covered
        if takes:
            name = _free_name(block.name, block.targets, kept)
            kept.append(Block(name, block.targets, tuple(sorted(takes)), block.by_fold))
            covered |= takes
    rest = [name for name in sorted(targets) if name not in covered]
    for names in _parts(rest, most or len(rest)):
        new = {name: targets[name] for name in names}
        kept.append(Block(_free_name("", new, kept), new, tuple(names), by_fold))
    return sorted(kept, key=lambda block: block.name)


def _parts(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """Cut names into parts of at most so many, which differ by one at most."""
    n_parts = -(-len(names) // max(most, 1))
    ends = [len(names) * number // n_parts for number in range(n_parts + 1)] if n_parts else []
    return [names[start:end] for start, end in itertools.pairwise(ends)]


def retired(block: Block, targets: Mapping[str, Definition]) -> dict[str, Definition]:
    """Return the targets of a block that are not asked for, or not with that definition."""
    return {name: found for name, found in block.targets.items() if targets.get(name) != found}


def _free_name(wanted: str, targets: Mapping[str, Definition], blocks: Sequence[Block]) -> str:
    taken = {block.name for block in blocks}
    if wanted not in taken:
        return wanted
    first, more = min(targets), len(targets) - 1
    name = base = f"{first}-and-{more}" if more else first
    number = 1
    while name in taken:
        number += 1
        name = f"{base}.{number}"
    return name
