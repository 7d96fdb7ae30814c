"""Which parcellations an ensemble takes its members from, and whether there are as many as it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortax.workloads.regions.study.analyses import Ensemble

__all__ = ["POOLED", "check_pools", "find_pools"]

# Stands for the pipeline where the models of all pipelines are members of one ensemble.
POOLED = "all"

Pools = dict[str, list[str]]


def find_pools(ensemble: Ensemble, parcellations_of: Mapping[str, Sequence[str]]) -> Pools:
    """Return for each pipeline of an ensemble its pool: those of the ensemble's parcellations that it is run on.

    Parameters
    ----------
    ensemble : Ensemble
    parcellations_of : mapping of pipeline to sequence of str
        What each pipeline of the study is run on, in study order, which is also the order of the pools.
    """
    pipelines = ensemble.pipelines.select(parcellations_of)
    return {pipeline: ensemble.parcellations.select(parcellations_of[pipeline]) for pipeline in pipelines}


def check_pools(where: str, ensemble: Ensemble, parcellations_of: Mapping[str, Sequence[str]]) -> None:
    """Raise a ValueError that says what of an ensemble the rest of the study does not have.

    Parameters
    ----------
    where : str
        Of the study file, such as `ensembles.schaefer`.
    ensemble, parcellations_of
        See `find_pools`.
    """
    ensemble.pipelines.check(f"{where}.pipelines", parcellations_of)
    pools = find_pools(ensemble, parcellations_of)
    for pipeline, pool in pools.items():
        least, why = (max(ensemble.n_members), "n_members asks for") if ensemble.n_members else (2, "it takes at least")
        if len(pool) < least:
            raise ValueError(
                f"{where}: pipeline {pipeline!r} is run on {len(pool)} of its parcellations, {pool}; {why} {least}; "
                "name more parcellations or fewer pipelines"
            )
    if ensemble.pooled:
        _check_pooled(where, pools)


def _check_pooled(where: str, pools: Pools) -> None:
    if len(pools) < 2:
        raise ValueError(f"{where}: pooled = true needs at least 2 pipelines; got {sorted(pools)}")
    if POOLED in pools:
        raise ValueError(f"{where}: pooled = true gives the name {POOLED!r} to all pipelines together; rename that one")
    first, *others = pools
    for other in others:
        if pools[other] != pools[first]:
            raise ValueError(
                f"{where}: pooled = true needs pipelines that are run on the same of its parcellations; "
                f"{first!r} is on {pools[first]}, {other!r} on {pools[other]}"
            )
