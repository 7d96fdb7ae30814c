"""Sets of voxels: as text, which options of jobs hold, and in blocks that are fitted apart from each other.

A block that was fitted stays what it is, so that a larger mask adds a block of its new voxels. Who was fitted with whom
changes no bit of a fit.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cortax.learning.arrays import Bools

__all__ = ["VoxelBlock", "cut_voxels", "decode_voxels", "encode_voxels"]


@dataclass(frozen=True)
class VoxelBlock:
    """Voxels that are read and fitted together.

    Attributes
    ----------
    name : str
        Empty for the first block of a volume; others are called block-2 and so on.
    voxels : str, optional
        Which they are, see `encode_voxels`; None where that cannot be known.
    n_voxels : int
    """

    name: str
    voxels: str | None
    n_voxels: int


def encode_voxels(inside: Bools) -> str:
    """Return which voxels of a grid are inside, as text.

    Some 40 kB for the brain in a grid of 3.6 million voxels.

    >>> decode_voxels(encode_voxels(np.array([True, False, True])))[:3]
    array([ True, False,  True])
    """
    return base64.b64encode(zlib.compress(np.packbits(inside).tobytes(), 9)).decode()


def decode_voxels(text: str) -> Bools:
    """Return which voxels are inside, flat in C order, of a text; up to seven more of the grid's size are not."""
    return np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)).astype(bool)


def cut_voxels(wanted: str, known: Sequence[tuple[str, str]]) -> list[VoxelBlock]:
    """Divide voxels into blocks, so that what was fitted before need not be fitted again.

    Parameters
    ----------
    wanted : str
        The voxels asked for, see `encode_voxels`.
    known : sequence of (name, voxels)
        Blocks whose jobs could be reused, of the same grid.

    Returns
    -------
    list of VoxelBlock
        By name; every voxel that is wanted is in exactly one of them, and no other. Largest first, a known block is
        taken if all of its voxels are wanted and none is in a block already; what is left is a block that is new.
    """
    left = decode_voxels(wanted)
    decoded = [(name, text, decode_voxels(text)) for name, text in dict.fromkeys(known)]
    kept: list[VoxelBlock] = []
    for name, text, inside in sorted(decoded, key=lambda each: -int(each[2].sum())):
        if left.any() and not (inside & ~left).any():
            kept.append(VoxelBlock(_free_name(name, kept), text, int(inside.sum())))
            left &= ~inside
    if left.any():
        text = encode_voxels(left) if kept else wanted
        kept.append(VoxelBlock(_free_name("", kept), text, int(left.sum())))
    return sorted(kept, key=lambda block: block.name)


def _free_name(wanted: str, blocks: Sequence[VoxelBlock]) -> str:
    taken, number = {block.name for block in blocks}, 1
    name = wanted
    while name in taken:
        number += 1
        name = f"block-{number}"
    return name
