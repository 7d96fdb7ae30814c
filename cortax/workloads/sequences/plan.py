"""The jobs of a study of sequences: sites by themselves up to their skill, then all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortax.lanes import LANES
from cortax.provenance.closure import class_code
from cortax.report.plan import report_job
from cortax.study.section import relative_paths
from cortax.workflow.plan.blocks import Block, cut_blocks
from cortax.workflow.plan.jobspec import JobSpec, Work, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.sequences.networks import code_of, model_key
from cortax.workloads.sequences.study import SequencesStudy

__all__ = ["dataset_options", "sequences_jobs", "site_file", "site_options"]

# Seconds of a model, epoch and day of a window on one core, a guess until a build has measured it.
_SECONDS = {"lstm": 3e-7, "torch": 2e-6}


def sequences_jobs(study: SequencesStudy, planning: Planning) -> list[JobSpec]:
    """List the jobs of a study of sequences, each after those that it needs.

    What was done before decides which models are trained by one job, never what they come to. Raises InputError: the
    table of a site is missing.
    """
    maker = _Jobs(study, planning)
    sites = study.sites.names
    jobs = [maker.site(site) for site in sites]
    trained = {site: maker.train(site) for site in sites}
    jobs += [job for parts in trained.values() for stage in parts for job in stage]
    jobs += [maker.predict(site, [job.name for job in trained[site][-1]]) for site in sites]
    jobs += [maker.skill(site) for site in sites]
    if 0.0 in study.training.factors and len(study.training.factors) > 1:
        jobs += [maker.choose(), maker.compare()]
    return [*jobs, report_job(study, jobs, planning, "sequences_report")] if study.report.enabled else jobs


def site_file(study: SequencesStudy, site: str) -> str:
    """Return the path of a site's table, as the study has it."""
    return study.sites.files.format(site=site)


def site_options(study: SequencesStudy, site: str) -> dict[str, Any]:
    """Return the options of `site`, but for the digest of the file."""
    targets = [study.targets[name] for name in study.target_names]
    return {
        "site": site,
        "file": site_file(study, site),
        "time": study.sites.time,
        "inputs": study.inputs.columns,
        "targets": [{"column": target.column, "transform": target.transform} for target in targets],
        "fill": study.sites.fill,
    }


def dataset_options(study: SequencesStudy, site: str, *periods: str) -> dict[str, Any]:
    """Return the options that say how networks look at a site, with the days of some periods."""
    targets = [study.targets[name] for name in study.target_names]
    asked = study.sites.periods
    return {
        "site": site,
        "inputs": study.inputs.columns,
        "targets": [target.column for target in targets],
        "transforms": [target.transform for target in targets],
        "day_of_year": study.inputs.day_of_year,
        "window": study.sites.window,
        "warm_up": study.sites.warm_up,
        **{name: [day.isoformat() for day in asked[name]] for name in periods},
    }


class _Jobs:
    def __init__(self, study: SequencesStudy, planning: Planning) -> None:
        self._study, self._planning = study, planning
        training = study.training
        self._pairs = {
            model_key(factor, seed): [factor, seed]
            for factor in training.factors
            for seed in range(1, training.seeds + 1)
        }
        network = study.network.settings
        self._network = {"network": network, "code": class_code(code_of(network))}

    def site(self, site: str) -> JobSpec:
        options, root = site_options(self._study, site), self._planning.root
        options["digest"] = self._planning.digest_of(root / options["file"])
        options["file"] = relative_paths(options["file"], root)
        return JobSpec(f"site/{site}", "site", sorted_keys(options), key={"site": site})

    def train(self, site: str) -> list[list[JobSpec]]:
        """Return the training jobs of a site: for each stage of epochs one for each block of models."""
        training, stages = self._study.training, []
        common = {
            **dataset_options(self._study, site, "train", "validation"),
            **self._network,
            **{name: getattr(training, name) for name in ("rate", "batch", "clip", "patience")},
            "seed": self._study.seed,
        }
        total, before = 0, None
        blocks = self._blocks(site, {**common, "epochs": training.epochs[0]})
        for epochs in training.epochs:
            total += epochs
            stages.append([self._train(site, common, block, epochs, total, before) for block in blocks])
            before = total
        return stages

    def _train(
        self, site: str, common: Mapping[str, Any], block: Block, epochs: int, total: int, before: int | None
    ) -> JobSpec:
        def key(of: int) -> dict[str, str]:
            return {"site": site, "epochs": str(of), **({"block": block.name} if block.name else {})}

        models = [definition["model"] for definition in block.targets.values()]
        jobs: dict[str, str | list[str]] = {"site": f"site/{site}"}
        if before is not None:
            jobs["before"] = "/".join(["train", *key(before).values()])
        n_days = (self._study.sites.train[1] - self._study.sites.train[0]).days + 1
        network = self._study.network
        lanes = LANES if network.kind == "lstm" else 1
        seconds = lanes * _SECONDS[network.kind] * epochs * n_days
        return JobSpec(
            "/".join(["train", *key(total).values()]),
            "train",
            sorted_keys({**common, "epochs": epochs, "models": models}),
            jobs,
            key=key(total),
            work=Work(network.module or network.kind, len(models), ((-(-len(models) // lanes), seconds),)),
        )

    def _blocks(self, site: str, options: Mapping[str, Any]) -> list[Block]:
        """Cut the models; those that were trained together in the same way stay together."""
        known = []
        key = {"site": site, "epochs": str(options["epochs"])}
        past = self._planning.past
        for name, found in past.reusable("train", self._study.name, key) if past else []:
            rest = {option: value for option, value in found.items() if option != "models"}
            if rest == sorted_keys(options):
                known.append(Block(name.get("block", ""), _definitions(found["models"])))
        return cut_blocks(_definitions(list(self._pairs.values())), known)

    def predict(self, site: str, trained: list[str]) -> JobSpec:
        options = {
            **dataset_options(self._study, site, "train", "validation", "test"),
            **self._network,
            "names": self._study.target_names,
            "models": list(self._pairs.values()),
        }
        jobs: dict[str, str | list[str]] = {"site": f"site/{site}", "train": trained}
        return JobSpec(f"predict/{site}", "predict", sorted_keys(options), jobs, key={"site": site})

    def skill(self, site: str) -> JobSpec:
        files = ("skill.parquet", "means.parquet")
        return JobSpec(
            f"skill/{site}",
            "skill",
            sorted_keys(dataset_options(self._study, site, "train", "validation", "test")),
            {"site": f"site/{site}", "predict": f"predict/{site}"},
            key={"site": site},
            links=files,
            folder=(site,),
        )

    def _skills(self) -> dict[str, str | list[str]]:
        return {"skill": [f"skill/{site}" for site in self._study.sites.names]}

    def choose(self) -> JobSpec:
        options = {
            "sites": self._study.sites.names,
            "target": self._study.target_names[0],
            "metric": self._study.choose.metric,
        }
        return JobSpec(
            "choose",
            "choose",
            sorted_keys(options),
            self._skills(),
            optional={"skill": "sites"},
            links=("choices.parquet",),
        )

    def compare(self) -> JobSpec:
        asked = self._study.statistics.model_dump()
        options = {"sites": self._study.sites.names, "target": self._study.target_names[0], **asked}
        return JobSpec(
            "compare",
            "sequences_compare",
            sorted_keys(options),
            {**self._skills(), "choose": "choose"},
            optional={"skill": "sites"},
            links=("gains.parquet", "counts.parquet"),
        )


def _definitions(pairs: list[list[float]]) -> dict[str, dict[str, Any]]:
    return {model_key(factor, int(seed)): {"model": [factor, seed]} for factor, seed in pairs}
