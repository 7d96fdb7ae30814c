"""The jobs of a decoding study: subjects by themselves up to their votes, then all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cortax.report.plan import report_job
from cortax.study.section import relative_paths
from cortax.workflow.plan.jobspec import JobSpec, Work, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.decoding.study import DecodingStudy
from cortax.workloads.decoding.trials import trial_digests

__all__ = ["decoding_jobs", "epochs_options", "features_options", "phase_files"]

# Seconds of a unit on one core, a guess until a build has measured it.
_FIT_SECONDS, _TEST_SECONDS = 0.2, 0.1
_PLAIN = 20.0  # times as long where scikit-learn fits


def decoding_jobs(study: DecodingStudy, planning: Planning) -> list[JobSpec]:
    """List the jobs of a decoding study, each after those that it needs.

    What users vary last, statistics, is read by the last jobs alone: `null` from votes, `group` from maps.

    Raises
    ------
    InputError
        A file of trials is missing.
    """
    maker = _Jobs(study, planning)
    subjects = study.epochs.subjects
    jobs = [maker.epochs(subject) for subject in subjects]
    jobs += [maker.features(name, subject, phase) for name, subject, phase in maker.features_of()]
    pairs = [(features, decoder) for features in study.features for decoder in study.decoders]
    jobs += [maker.decode(*pair, subject) for pair in pairs for subject in subjects]
    phases = study.epochs.test
    jobs += [maker.generalise(*pair, subject, phase) for pair in pairs for subject in subjects for phase in phases]
    jobs += [maker.null(*pair, phase) for pair in pairs for phase in phases]
    jobs += [maker.group(phase) for phase in phases]
    if not study.report.enabled:
        return jobs
    report = report_job(study, jobs, planning, "decoding_report")
    return [*jobs, replace(report, options=sorted_keys({**report.options, "montage": study.report.montage}))]


def phase_files(study: DecodingStudy, subject: str) -> dict[str, str]:
    """Return the path of a subject's trials in every phase, as the study has it."""
    return {phase: study.epochs.files.format(subject=subject, phase=phase) for phase in study.epochs.phases}


def epochs_options(study: DecodingStudy, subject: str) -> dict[str, Any]:
    """Return the options of `epochs`, but for the digests of files."""
    asked = study.epochs.model_dump()
    names = ("label", "group", "classes", "channels", "exclude", "rate", "baseline", "window")
    return {
        "subject": subject,
        "train": study.epochs.train,
        "files": phase_files(study, subject),
        "file_rate": study.epochs.of_subject("file_rate", subject),
        "file_start": study.epochs.of_subject("file_start", subject),
        **{name: asked[name] for name in names},
        "continuous": study.continuous,
    }


def features_options(study: DecodingStudy, name: str, phase: str) -> dict[str, Any]:
    """Return the options of `features`."""
    return {"phase": phase, "features": name, **study.features[name].model_dump()}


class _Jobs:
    def __init__(self, study: DecodingStudy, planning: Planning) -> None:
        self._study, self._root, self._digest_of = study, planning.root, planning.digest_of
        self._names: dict[Any, str] = {}

    def _add(self, method: str, key: Mapping[str, str], options: Any, jobs: Any = None, **more: Any) -> JobSpec:
        return JobSpec(
            "/".join([more.pop("called", method), *key.values()]),
            method,
            sorted_keys(options),
            jobs or {},
            key=key,
            **more,
        )

    def epochs(self, subject: str) -> JobSpec:
        options = epochs_options(self._study, subject)
        options["digests"] = trial_digests(self._root, options["files"].values(), self._digest_of)
        options["files"] = relative_paths(options["files"], self._root)
        return self._add("epochs", {"subject": subject}, options)

    def features_of(self) -> Iterator[tuple[str, str, str]]:
        study = self._study
        for name in study.features:
            for subject in study.epochs.subjects:
                for phase in study.epochs.phases:
                    yield name, subject, phase

    def features(self, name: str, subject: str, phase: str) -> JobSpec:
        key = {"features": name, "subject": subject, "phase": phase}
        options = features_options(self._study, name, phase)
        return self._add("features", key, options, {"epochs": f"epochs/{subject}"})

    def _decoder(self, decoder: str, where: str) -> dict[str, Any]:
        asked, search = self._study.decoders[decoder], self._study.search
        return {
            "where": where,
            "kind": asked.kind,
            "configs": asked.configurations,
            "select": asked.select,
            "estimator": asked.estimator,
            "plain": asked.kind == "sklearn" or search.solver == "scikit-learn",
            "scoring": self._study.scoring,
            "seed": self._study.seed,
        }

    def _work(self, features: str, decoder: str, seconds: float) -> Work:
        n_bins = self._study.features[features].n_bins
        plain = self._decoder(decoder, "")["plain"]
        return Work(decoder, n_bins, ((n_bins, seconds * (_PLAIN if plain else 1.0)),))

    def decode(self, features: str, decoder: str, subject: str) -> JobSpec:
        key = {"features": features, "decoder": decoder, "subject": subject}
        search = self._study.search
        options = self._decoder(decoder, _where(subject, features, decoder))
        options |= {"subject": subject, "n_outer": search.n_outer, "n_inner": search.n_inner}
        trained = f"features/{features}/{subject}/{self._study.epochs.train}"
        return self._add(
            "decode", key, options, {"features": trained}, work=self._work(features, decoder, _FIT_SECONDS)
        )

    def generalise(self, features: str, decoder: str, subject: str, phase: str) -> JobSpec:
        key = {"features": features, "decoder": decoder, "subject": subject, "phase": phase}
        train = self._study.epochs.train
        options = self._decoder(decoder, f"{_where(subject, features, decoder)}, phase {phase!r}")
        options["same"] = phase == train
        jobs = {
            "decode": f"decode/{features}/{decoder}/{subject}",
            "trained": f"features/{features}/{subject}/{train}",
            "tested": f"features/{features}/{subject}/{phase}",
        }
        return self._add("generalise", key, options, jobs, work=self._work(features, decoder, _TEST_SECONDS))

    def null(self, features: str, decoder: str, phase: str) -> JobSpec:
        asked = self._study.statistics
        options = {
            "subjects": self._study.epochs.subjects,
            "group": asked.group,
            "metric": self._study.metric,
            "smoothing": asked.smoothing,
            "permutations": asked.permutations,
            "exchange": asked.exchange,
            "seed": self._study.seed,
        }
        of = [f"generalise/{features}/{decoder}/{subject}/{phase}" for subject in self._study.epochs.subjects]
        key = {"features": features, "decoder": decoder, "phase": phase}
        return self._add(
            "decoding_null", key, options, {"generalise": of}, optional={"generalise": "subjects"}, called="null"
        )

    def group(self, phase: str) -> JobSpec:
        asked, pairs = self._study.statistics, [(f, d) for f in self._study.features for d in self._study.decoders]
        options = {
            "phase": phase,
            "trained": self._study.epochs.train,
            "maps": [{"features": features, "decoder": decoder} for features, decoder in pairs],
            "group": asked.group,
            "null": asked.null,
            "threshold": asked.threshold,
            "draws": asked.draws,
            "confidence": asked.confidence,
            "seed": self._study.seed,
        }
        return self._add(
            "decoding_group",
            {"phase": phase},
            options,
            {"null": [f"null/{features}/{decoder}/{phase}" for features, decoder in pairs]},
            optional={"null": "maps"},
            called="group",
            links=("scores.parquet", "group.parquet", "clusters.parquet", "maps.npz"),
            folder=(phase,),
        )


def _where(subject: str, features: str, decoder: str) -> str:
    return f"subject {subject!r}, features {features!r}, decoder {decoder!r}"
