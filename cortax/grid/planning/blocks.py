"""Which targets are searched together.

Targets of one search share most of its work, so there are to be few blocks of many targets. But a block is one job, and
whatever it holds is searched anew when it gains or loses one. So blocks, once searched, stay what they are, and targets
that are new make one block more.
"""

from __future__ import annotations

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
    """

    name: str
    targets: Mapping[str, Definition]


def cut_blocks(targets: Mapping[str, Definition], known: Sequence[Block]) -> list[Block]:
    """Divide targets into blocks, so that what was searched before need not be searched again.

    Parameters
    ----------
    targets : mapping of target to definition
        What is asked for.
    known : sequence of Block
        Blocks whose jobs could be reused, the ones to prefer first.

    Returns
    -------
    list of Block
        By name. Every target is in exactly one of them with its present definition. A known block is kept whole as
        long as it has such a target and none that a preferred block has, though it may also hold targets that are no
        longer asked for, or not with that definition. All other targets are in one new block. So when a target comes
        back that two blocks still hold, the one to prefer keeps it, and what only the other had is searched anew.
    """
    kept: list[Block] = []
    covered: set[str] = set()
    for block in known:
        live = {name for name, definition in block.targets.items() if targets.get(name) == definition}
        if live and not live & covered:
            kept.append(Block(_free_name(block.name, block.targets, kept), block.targets))
            covered |= live
    if rest := {name: targets[name] for name in sorted(targets) if name not in covered}:
        kept.append(Block(_free_name("", rest, kept), rest))
    return sorted(kept, key=lambda block: block.name)


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
