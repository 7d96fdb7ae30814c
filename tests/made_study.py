"""A finished study of any size, made by hand: all that a report reads, written by the library's own functions.

The numbers mean nothing: scores grow with the number of regions, with noise.
"""

import functools
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cortax.brain.pictures.gallery import Gallery, Picture, save_pictures
from cortax.learning.cohort import Cohort, save_cohort, save_target
from cortax.learning.folds import make_folds, save_folds
from cortax.learning.importance.found import Importance, save_importance
from cortax.learning.jackknife import Influences
from cortax.learning.regions import save_regions
from cortax.learning.scaling.analysis import analyse
from cortax.learning.search.cells import SearchResult
from cortax.learning.search.evaluations import Evaluation
from cortax.learning.search.store import save_search
from cortax.learning.search.store_evaluation import save_evaluation
from cortax.learning.stats.compared import compare_models, compare_over_targets
from cortax.learning.stats.models import Asked, ComparedModel
from cortax.learning.stats.nulls import Nulls, save_nulls
from cortax.learning.stats.permutation_tests import NullsPart, permutation_table
from cortax.provenance import outputs
from cortax.report.figures import style
from cortax.report.page import MadeJob, StudyJobs
from cortax.workloads.regions.report import sections

METRICS = {"regression": ("r2", "mean_squared_error"), "classification": ("roc_auc", "matthews_corrcoef")}
TASKS = ("regression", "classification")
N_INNER = 2


def page_sections(made):
    """Make the sections of a page that have something to show, as the method of the page does."""
    with style():
        return [section for section in sections(made) if section is not None]


@dataclass
class MadeStudy:
    """What is made, and how much of it."""

    folder: Path
    parcellations: dict[str, int] = field(default_factory=lambda: {"coarse": 50, "middle": 100, "fine": 400})
    pipelines: tuple[str, ...] = ("ridge", "svm")
    targets: tuple[str, ...] = ("fluid", "sex")
    n_subjects: int = 40
    n_outer: int = 3
    n_configs: int = 4
    analyses: bool = True
    simulated: bool = True
    title: str = "Made by hand"
    png: bytes = b""
    turning: str = "<p>turns & turns</p>"

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.jobs: list[MadeJob] = []
        self.tasks = [TASKS[place % 2] for place in range(len(self.targets))]
        self.first = {name: METRICS[task][0] for name, task in zip(self.targets, self.tasks, strict=True)}
        if not self.png:
            stream = io.BytesIO()
            Image.new("RGB", (4, 2), "#0072B2").save(stream, format="PNG")
            self.png = stream.getvalue()

    def add(self, name, method, save, *, jobs=(), options=(), key=(), pool=None, names=()):
        """Make a job's folder; `save` writes into it and returns the names of its files."""
        job = f"main-{len(self.jobs)}"
        made = MadeJob(name, job, self.folder / job, dict(key), dict(names))
        made.folder.mkdir(parents=True)
        setup = {
            "method": method,
            "options": dict(options),
            "jobs": dict(jobs),
            "starttime": 1.7e9 + len(self.jobs),
            "versions": {"python": "3.11.7 (main)", "accelerator": "2025.11.11"},
        }
        (made.folder / "setup.json").write_text(json.dumps(setup))
        post = {"exectime": {"total": 1.5 + len(self.jobs) % 7}}
        (made.folder / "post.json").write_text(json.dumps(post))
        if pool:
            (made.folder / "pool.json").write_text(json.dumps(pool))
        outputs.record(made.folder, save(made.folder), method=method, name=name)
        self.jobs.append(made)
        return made

    def build(self) -> StudyJobs:
        """Make every job, in the order of a plan."""
        self._people()
        regions = {name: self._parcellation(name, size) for name, size in self.parcellations.items()}
        models = {(p, q): self._model(p, q, regions[p].id) for p in self.parcellations for q in self.pipelines}
        if self.analyses:
            models |= {
                ("all/voted-2", q): self._ensemble(q, [models[p, q].name for p in self.parcellations])
                for q in self.pipelines
            }
        self._scores(models)
        if self.analyses:
            self._analyses(models)
        return StudyJobs("made", self.title, self.simulated, self.jobs)

    def _people(self):
        subjects = [f"sub-{number:04d}" for number in range(self.n_subjects)]
        groups = np.array([f"fam-{number // 2}" for number in range(self.n_subjects)])
        cohort = Cohort(tuple(subjects), np.zeros((self.n_subjects, 1)), ("age",), groups)
        self.folds = make_folds(groups, n_outer=self.n_outer, n_inner=N_INNER, seed=1)

        def dropped(folder):
            rows = pd.DataFrame([("sub-9999", "empty file (0 bytes) <b>", "a.mgh")])
            rows.to_csv(folder / "dropped.csv", index=False, header=["participant_id", "reason", "file"])
            return ["dropped.csv"]

        self.add("load", "load", dropped)
        self.add("split", "split", lambda folder: [*save_cohort(folder, cohort), save_folds(folder, self.folds).name])
        self.truth = self.rng.normal(size=(len(self.targets), self.n_subjects))
        for place, (name, task) in enumerate(zip(self.targets, self.tasks, strict=True)):
            if task == "classification":
                self.truth[place] = self.truth[place] > 0
            self.truth[place, place % self.n_subjects] = np.nan
            self.add(
                f"target/{name}",
                "target",
                lambda folder, n=name, t=task, p=place: save_target(folder, n, t, self.truth[p]),
                key={"target": name},
            )

    def _parcellation(self, name, size):
        columns = [f"thickness:{name}-{number}" for number in range(size)]

        def save(folder):
            save_regions(folder, np.zeros((1, size)), ["sub-0000"], columns)
            return ["regions.npy", "regions.json"]

        key = {"parcellation": name}
        made = self.add(f"parcellate/{name}", "parcellate", save, key=key)
        picture = Picture(name, f"The regions of {name}.", f"{name}: {size} regions.", self.png)
        self.add(f"picture/{name}", "picture", lambda folder: save_pictures(folder, Gallery((picture,))), key=key)
        return made

    def _model(self, parcellation, pipeline, regions):
        n_targets, shape = len(self.targets), (len(self.targets), self.n_outer)
        n = self.n_configs
        alphas = np.geomspace(1e-3, 1e3, n)
        configs = {task: [{"alpha": alpha, "gamma": alpha / 10} for alpha in alphas] for task in TASKS}
        scores = self.rng.uniform(size=(*shape, n, N_INNER))
        result = SearchResult(scores, np.ones(shape), np.zeros(scores.shape, dtype=np.int64), ())
        called, key = f"{parcellation}/{pipeline}", {"parcellation": parcellation, "pipeline": pipeline}
        pool = {"peak": 2e8, "n_workers": 2, "backend": "slices"}
        tune = self.add(
            f"tune/{called}",
            "tune",
            lambda folder: save_search(folder, result, configs, {"kind": "ridge"})[0],
            key=key,
            pool=pool,
        )
        inputs = {"tune": tune.id, "regions": regions}
        chosen = self.rng.integers(n, size=shape)
        found = self._evaluation(chosen, n_targets)
        save = functools.partial(self._save, found=found)
        return self.add(f"evaluate/{called}", "evaluate", save, jobs=inputs, key=key)

    def _save(self, folder, found):
        return save_evaluation(folder, found, self.targets, ["thickness:a"])[0]

    def _evaluation(self, chosen, n_targets):
        predictions = 0.5 * self.truth + self.rng.normal(scale=0.5, size=self.truth.shape)
        for place, task in enumerate(self.tasks):
            if task == "classification":
                predictions[place] = np.clip(predictions[place] + 0.25, 0, 1)
        zeros = np.zeros(chosen.shape, dtype=np.int64)
        labels = np.where(np.isnan(predictions), np.nan, predictions > 0.5)
        return Evaluation(
            predictions[None], labels[None], chosen, None, None, None, zeros + 9, zeros, np.ones(chosen.shape), ()
        )

    def _ensemble(self, pipeline, evaluated):
        found = self._evaluation(np.full((len(self.targets), self.n_outer), -1), len(self.targets))
        members = [f"{name}/{pipeline}" for name in self.parcellations]
        options = {"strategy": "voted", "members": members}
        name = f"ensemble/all/voted-2/{pipeline}"
        key = {"parcellation": "all/voted-2", "pipeline": pipeline}
        save = functools.partial(self._save, found=found)
        # A job of an earlier build, with other members, that gave the same results.
        old = {"evaluate": [f"main-old-{name}" for name in evaluated]}
        return self.add(name, "ensemble", save, jobs=old, options=options, key=key, names={"evaluate": evaluated})

    def _scores(self, models):
        sizes = self.parcellations | {"all/voted-2": sum(self.parcellations.values())}
        self.table = pd.concat([self._score(*key, sizes[key[0]]) for key in models], ignore_index=True)
        options = {"evaluations": [{"parcellation": p, "pipeline": q} for p, q in models]}
        inputs = {"evaluate": [job.id for job in models.values()]}

        def save(folder):
            self.table.to_parquet(folder / "scores.parquet", index=False)
            return ["scores.parquet"]

        self.scores = self.add("scores", "scores", save, jobs=inputs, options=options)

    def _score(self, parcellation, pipeline, size):
        metrics = [(n, m) for n, task in zip(self.targets, self.tasks, strict=True) for m in METRICS[task]]
        folds = [*map(str, range(self.n_outer)), "mean"]
        values = 0.1 * np.log10(size) + self.rng.normal(scale=0.05, size=(len(metrics), len(folds)))
        values[:, -1] = values[:, :-1].mean(axis=1)
        values = values.ravel()
        return pd.DataFrame(
            {
                "study": "made",
                "parcellation": parcellation,
                "pipeline": pipeline,
                "target": np.repeat([target for target, _ in metrics], len(folds)),
                "fold": folds * len(metrics),
                "metric": np.repeat([metric for _, metric in metrics], len(folds)),
                "value": values,
                "low": values - 0.08,
                "high": values + 0.08,
                "n_subjects": self.n_subjects,
                "n_groups": 100,
                "sd_repeats": np.nan,
            }
        )

    def _influences(self, parcellation, pipeline):
        """How far 20 groups move each score, in two repeats."""
        rng = np.random.default_rng([*parcellation.encode(), *pipeline.encode()])
        own = self.table[(self.table["parcellation"] == parcellation) & (self.table["pipeline"] == pipeline)]
        means = own[own["fold"] == "mean"].set_index(["target", "metric"])["value"]
        scored = np.ones((1, self.n_outer), dtype=bool)
        return {
            row: Influences(np.array([mean]), rng.normal(scale=0.1, size=(1, 2, 20)), scored)
            for row, mean in means.items()
        }

    def _analyses(self, models):
        self._scaling()
        self._compare(models)
        self._permute(models)
        key = {"parcellation": next(iter(self.parcellations)), "pipeline": self.pipelines[0]}
        model = "/".join(key.values())
        size = next(iter(self.parcellations.values()))
        values = {"pattern": self.rng.normal(size=(len(self.targets), self.n_outer, size))}
        columns = tuple(f"thickness:region-{number}" for number in range(size))
        found = Importance(values, self.targets, columns, ())
        self.add(f"importance/{model}", "importance", lambda folder: save_importance(folder, found), key=key)
        maps = tuple(Picture(t, f"Brain map. {t}", f"Strongest of {t}", self.png) for t in self.targets)
        gallery = Gallery(maps, (f"{model}, {self.targets[0]}", self.turning), note="3 more maps")
        self.add(f"picture/{model}", "picture", lambda folder: save_pictures(folder, gallery), key=key)

    def _scaling(self):
        types = {name: ("existing", "random")[place % 2] for place, name in enumerate(self.parcellations)}
        about = {name: (float(size), types[name], False) for name, size in self.parcellations.items()}
        about["all/voted-2"] = float(sum(self.parcellations.values())), "voted", True
        described = pd.DataFrame.from_dict(about, orient="index", columns=["size", "type", "ensemble"])
        ranks, report = analyse(self.table, described, metrics=self.first, n_bootstrap=20)

        def save(folder):
            ranks.to_parquet(folder / "ranks.parquet", index=False)
            (folder / "scaling.json").write_text(json.dumps(report))
            return ["ranks.parquet", "scaling.json"]

        self.add("scaling", "scaling", save)

    def _compare(self, models):
        own = self.table.groupby(["parcellation", "pipeline"])
        described = [
            ComparedModel(p, q, own.get_group((p, q)), functools.partial(self._influences, p, q)) for p, q in models
        ]
        asked = Asked(pairs="reference", references=(next(iter(self.parcellations)), self.pipelines[0]))
        tables = {
            "comparisons": compare_models(described, asked),
            "over_targets": compare_over_targets(described, asked),
        }

        def save(folder):
            for name, table in tables.items():
                table.to_parquet(folder / f"{name}.parquet", index=False)
            return [f"{name}.parquet" for name in tables]

        self.add("compare", "compare", save)

    def _permute(self, models):
        (parcellation, pipeline) = next(iter(models))
        n_permutations, shape = 60, (len(self.targets), 60, 2)
        nulls = Nulls(
            self.targets,
            tuple(self.tasks),
            {task: list(names) for task, names in METRICS.items()},
            np.arange(n_permutations),
            self.rng.normal(scale=0.05, size=shape),
            np.full(shape, self.n_outer),
            np.full(len(self.targets), 1e9),
            "whole-groups",
        )
        cell = f"{parcellation}/{pipeline}"
        key = {"parcellation": parcellation, "pipeline": pipeline, "start": "0"}
        made = self.add(f"permute/{cell}/0", "permute", lambda folder: save_nulls(folder, nulls), key=key)
        own = self.table[(self.table["parcellation"] == parcellation) & (self.table["pipeline"] == pipeline)]
        part = NullsPart(parcellation, pipeline, self.targets, 1, nulls)
        table = permutation_table({(parcellation, pipeline): own}, [part], exchange="whole-groups")

        def save(folder):
            table.to_parquet(folder / "permutations.parquet", index=False)
            return ["permutations.parquet"]

        model = {"parcellation": parcellation, "pipeline": pipeline}
        about = {**model, "take": list(self.targets), "n_parts": 1}
        options = {"evaluations": [model], "exchange": "whole-groups", "nulls": [about]}
        self.add("permutation-tests", "permutation_tests", save, jobs={"permute": [made.id]}, options=options)
