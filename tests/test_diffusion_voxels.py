"""Blocks of voxels: every voxel is in one of them, and those that were fitted stay what they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cortax.workloads.diffusion.voxels import VoxelBlock, cut_voxels, decode_voxels, encode_voxels

GRID = 19
masks = arrays(bool, GRID)


def text_of(*places):
    inside = np.zeros(GRID, dtype=bool)
    inside[list(places)] = True
    return encode_voxels(inside)


def known_of(blocks):
    return [(block.name, block.voxels) for block in blocks]


@given(arrays(bool, st.integers(1, 70)))
def test_text_stands_for_voxels(inside):
    decoded = decode_voxels(encode_voxels(inside))
    np.testing.assert_array_equal(decoded[: len(inside)], inside)
    assert not decoded[len(inside) :].any()


@given(st.lists(masks, max_size=4), masks)
def test_every_voxel_is_in_one_block_and_a_larger_mask_keeps_all(before, wanted):
    known = []
    for mask in before:
        known += known_of(cut_voxels(encode_voxels(mask), known))
    blocks = cut_voxels(encode_voxels(wanted), known)
    covered = sum((decode_voxels(block.voxels)[:GRID].astype(int) for block in blocks), np.zeros(GRID, dtype=int))
    np.testing.assert_array_equal(covered, wanted)
    assert [block.n_voxels for block in blocks] == [int(decode_voxels(block.voxels).sum()) for block in blocks]
    assert len({block.name for block in blocks}) == len(blocks)
    assert cut_voxels(encode_voxels(wanted), known_of(blocks)) == blocks
    larger = wanted | (np.arange(GRID) % 3 == 0)
    again = cut_voxels(encode_voxels(larger), known_of(blocks))
    assert set(known_of(blocks)) <= set(known_of(again))
    assert len(again) <= len(blocks) + 1


def test_new_voxels_are_a_block_of_their_own_and_fewer_ones_are_one_anew():
    first, whole = text_of(1, 2, 3), text_of(1, 2, 3, 9)
    assert cut_voxels(first, []) == [VoxelBlock("", first, 3)]
    larger = cut_voxels(whole, [("", first)])
    assert larger == [VoxelBlock("", first, 3), VoxelBlock("block-2", text_of(9), 1)]
    assert cut_voxels(text_of(1, 2), known_of(larger)) == [VoxelBlock("", text_of(1, 2), 2)]
    # Of several ways to cover them, the largest blocks.
    assert cut_voxels(whole, [("", first), ("", whole), ("block-2", text_of(9))]) == [VoxelBlock("", whole, 4)]


def test_blocks_of_one_name_get_others():
    blocks = cut_voxels(text_of(1, 2, 3, 9, 11), [("", text_of(1, 2)), ("", text_of(3)), ("block-2", text_of(9))])
    assert blocks == [
        VoxelBlock("", text_of(1, 2), 2),
        VoxelBlock("block-2", text_of(3), 1),
        VoxelBlock("block-3", text_of(9), 1),
        VoxelBlock("block-4", text_of(11), 1),
    ]
