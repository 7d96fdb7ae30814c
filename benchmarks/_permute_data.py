"""Data of `bench_permute.py`: the demonstration as a problem, targets of noise, and scikit-learn's way of permuting."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from cortax.brain.data.map_files import find_maps, inventory
from cortax.brain.data.maps import load_maps, open_maps, space_of
from cortax.brain.data.phenotype_table import people_of, read_phenotypes, read_target_values
from cortax.brain.parcellation.apply import parcellate
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.learning.cohort import join_cohort
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import PIPELINES, make
from cortax.learning.search.spaces import content_seed, sample_configs
from cortax.provenance.files import file_digest
from cortax.workflow.workload import read_study


def demo(root: Path, parcellation: str) -> tuple[Problem, np.ndarray]:
    """Return ridge on one parcellation of the demonstration, all targets, and the families."""
    study = read_study(root / "studies" / "demo.toml")
    files = find_maps(root / study.images.root, study.images.maps)
    about = study.phenotypes
    with tempfile.TemporaryDirectory() as folder:
        space = space_of(files, study.images.space)
        rules = {"max_missing": study.images.max_missing, "outlier_sd": study.images.outlier_sd, "damaged": "drop"}
        load_maps(files, folder, space=space, inventory_digest=inventory(files, file_digest)[1], **rules)
        maps = open_maps(folder)
        atlas = atlas_from_spec(study.parcellations[parcellation], name=parcellation, space=maps.space, root=root)
        regions = parcellate(maps.values, atlas, statistic="mean", space=maps.space)
        subjects = maps.subjects
    people = people_of(about.model_dump(), root)
    found = read_phenotypes(
        people,
        group=about.group,
        site=about.site,
        stratify=study.splits.stratify,
        confounds=about.confounds,
        categorical=about.categorical,
    )
    cohort, _ = join_cohort(found.table, found.confounds, {"images": subjects})
    everyone = list(cohort.subjects)
    definitions = {name: target.model_dump() for name, target in study.targets.items()}
    values, _ = read_target_values(people, definitions, outlier_sd=about.outlier_sd)
    names = tuple(sorted(definitions))
    tasks = tuple(study.targets[name].kind for name in names)
    strata = found.table.loc[everyone, "stratum"].to_numpy()
    problem = Problem(
        regions=regions[[subjects.index(subject) for subject in everyone]],
        targets=values.loc[everyone, list(names)].to_numpy(),
        tasks=tasks,
        names=names,
        folds=make_folds(cohort.groups, strata=strata, seed=study.seed),
        kind="ridge",
        configs={task: sample_configs("ridge", task, 10, seed=study.seed) for task in sorted(set(tasks))},
        scorers=study.search.model_dump(),
        confounds=cohort.confounds,
        seed=study.seed,
    )
    return problem, cohort.groups


class Nested(BaseEstimator):
    """The nested pipeline as an estimator: a grid search on the problem's own inner folds, of scikit-learn alone.

    The first column of X is the number of the row; the others are regions and confounds.
    """

    def __init__(self, problem=None, target=0):
        self.problem = problem
        self.target = target

    def fit(self, X, y):
        rows, task = X[:, 0].astype(int), self.problem.tasks[self.target]
        outer = next(k for k, test in enumerate(self.problem.folds.test) if not test[rows].any())
        splits = [(np.flatnonzero(~v[rows]), np.flatnonzero(v[rows])) for v in self.problem.folds.valid[outer]]
        first, *_ = configs = self.problem.configs[task]
        seed = content_seed(self.problem.seed, "ridge", self.problem.names[self.target], outer, 0)
        pipe = make(PIPELINES["ridge"], task, first, n_confounds=self.problem.confounds.shape[1], seed=seed)
        grid = [{f"estimate__{key}": [value] for key, value in config.items()} for config in configs]
        search = GridSearchCV(clone(pipe), grid, scoring=self.problem.scorers[task], cv=splits)
        self.search_ = search.fit(X[:, 1:], y.astype(int) if task == "classification" else y)
        self.classes_ = getattr(self.search_, "classes_", None)
        return self

    def predict(self, X):
        return self.search_.predict(X[:, 1:])

    def predict_proba(self, X):
        return self.search_.predict_proba(X[:, 1:])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = {"regression": "regressor", "classification": "classifier"}[
            self.problem.tasks[self.target]
        ]
        return tags


class Given(np.random.RandomState):
    """Hands scikit-learn the permutations that it is to use, one after the other."""

    def __init__(self, rows):
        super().__init__(0)
        self.rows = iter(rows)

    def permutation(self, n):
        return next(self.rows)[:n]


def noise(n_targets: int, *, n_families: int, size: int, share: float, seed: int) -> tuple[Problem, np.ndarray]:
    """Return regions and targets that have nothing to do with each other, and families whose members share both.

    `share` of the variance of every region and target is the family's.
    """
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(n_families), size)
    folds = make_folds(families, n_outer=3, n_inner=2, seed=seed)

    def alike(n_columns: int) -> np.ndarray:
        common = rng.normal(size=(n_families, n_columns))[families]
        return np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=common.shape)

    problem = Problem(
        regions=alike(20),
        targets=alike(n_targets),
        tasks=("regression",) * n_targets,
        names=tuple(f"null{number}" for number in range(n_targets)),
        folds=folds,
        kind="ridge",
        configs={"regression": sample_configs("ridge", "regression", 5, seed=1)},
        confounds=None,
        seed=seed,
    )
    return problem, families.astype(str)
