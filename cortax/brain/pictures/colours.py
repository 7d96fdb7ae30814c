"""Few colours for many regions, so that neighbours differ for every kind of colour vision."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cortax.brain.parcellation.atlas import Atlas

__all__ = ["colour_regions", "winners"]

Ints = NDArray[np.int64]


def winners(atlas: Atlas) -> Ints:
    """Return for each location the region that weighs most there, by number; -1 for background.

    Returns
    -------
    int64 array of shape (n_locations,)
    """
    weights = abs(atlas.weights).tocsc()
    found = np.full(weights.shape[1], -1, dtype=np.int64)
    filled = np.flatnonzero(np.diff(weights.indptr))
    found[filled] = np.asarray(weights[:, filled].argmax(axis=0)).ravel()
    return found


def colour_regions(labels: Ints, neighbours: Iterable[tuple[Ints, Ints]]) -> Ints:
    """Give regions that touch different colours, few in all.

    Parameters
    ----------
    labels : int array of shape (n_locations,)
        Numbers of regions; -1 for background.
    neighbours : iterable of pairs of int arrays
        Locations that touch.

    Returns
    -------
    int64 array of shape (n_locations,)
        A colour from 0; -1 for background. Regions of a surface need few: a planar graph can be coloured with four,
        and the greedy colouring (largest degree first) rarely takes more than six.
    """
    # A fifth of a second that every build would pay otherwise.
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(np.unique(labels[labels >= 0]).tolist())
    for first, second in neighbours:
        a, b = labels[first], labels[second]
        touching = (a != b) & (a >= 0) & (b >= 0)
        graph.add_edges_from(np.unique(np.stack([a[touching], b[touching]]), axis=1).T.tolist())
    chosen = nx.greedy_color(graph, strategy="largest_first")
    table = np.array(
        [chosen.get(region, -1) for region in range(int(labels.max(initial=-1)) + 1)] + [-1], dtype=np.int64
    )
    return table[labels]
