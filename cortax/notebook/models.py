"""Nested search in a notebook: the solvers that a study's jobs use, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.brain.data.phenotypes import read_confounds, read_targets
from cortax.errors import InputError, SearchError, choices
from cortax.learning.cohort import Targets
from cortax.learning.combat import Harmonisation, check_target_sites
from cortax.learning.folds import check_targets
from cortax.learning.leakage import find_copies
from cortax.learning.predictions import Scoring, score_targets
from cortax.learning.search import solvers
from cortax.learning.search.cells import Problem, SearchResult
from cortax.learning.search.evaluations import CellEvaluation, Evaluation, collect_evaluations
from cortax.learning.search.opening import search_strategy
from cortax.learning.search.pipelines import PipelineKind, pipeline_kind
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs
from cortax.notebook.people import PeopleFolds
from cortax.study.reading import validate
from cortax.workloads.regions.study.sections import Evaluate, Metrics, Pipeline, Search

__all__ = ["ModelEvaluation", "ModelSearch", "search"]


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """What the chosen models predict of people that they were not fitted on.

    Attributes
    ----------
    problem : Problem
    folds : PeopleFolds
    found : Evaluation
        `predictions`, float64 of shape (n_repeats, n_targets, n_subjects), NaN where the target is; `probabilities`, of
        ordinal targets and of more than two classes by the number of the target, float64 of shape (n_repeats,
        n_subjects, n_classes); `coefficients` of linear models, per unit of the original regions, float64 of shape
        (n_targets, n_outer, n_regions), NaN of such targets, whose models are in `class_models`; failures.
    """

    problem: Problem
    folds: PeopleFolds
    found: Evaluation

    def scores(
        self,
        metrics: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        *,
        confidence: float = 0.95,
    ) -> pd.DataFrame:
        """Score the predictions, fold by fold and on average, with intervals over groups.

        Parameters
        ----------
        metrics : sequence of str, or mapping of task to sequence of str, optional
            Of the report's metrics, or scikit-learn scorers; by default those of a study.
        confidence : float

        Returns
        -------
        DataFrame
            target, fold ("0", "1", ... and "mean"), metric, value, low, high, n_subjects, n_groups, sd_repeats. NaN is
            a score without a meaning, such as an AUC in a fold of one class.

        Raises
        ------
        SearchError
            A metric is unknown, or not for the task.
        """
        tasks = self.problem.tasks
        if metrics is None:
            metrics = Metrics().model_dump()
        elif not isinstance(metrics, Mapping):
            metrics = dict.fromkeys(tasks, metrics)
        scoring = Scoring(metrics, confidence)
        targets = Targets(self.problem.targets, self.problem.names, tasks)
        return score_targets(self.found, targets, self.problem.folds.test, self.folds.groups, scoring)


@dataclass(frozen=True, eq=False)
class ModelSearch:
    """Every configuration on the inner folds.

    Attributes
    ----------
    problem : Problem
        `configs` are by task.
    pipeline : PipelineKind
    folds : PeopleFolds
    result : SearchResult
        `scores`, float64 of shape (n_targets, n_outer, n_configs, n_inner), NaN where a fit failed.
    """

    problem: Problem
    pipeline: PipelineKind
    folds: PeopleFolds
    result: SearchResult

    def evaluate(self, choose: str = "best") -> ModelEvaluation:
        """Choose a configuration by target and outer fold, refit it on the training part, and predict the test part.

        Parameters
        ----------
        choose : {"best", "one-standard-error"}

        Raises
        ------
        SearchError
            Everything failed, or it is not known which configuration of this kind is simpler.
        """
        rule = validate("choose", {"choose": choose}, Evaluate).choose
        problem, found = self.problem, self.result
        done: dict[tuple[int, int], CellEvaluation] = {}
        for batch in solvers.plan_batches(problem):
            cells = [(target, batch.outer) for target in batch.targets]
            own = problem.configs[problem.tasks[batch.targets[0]]]
            scores = {target: found.scores[target, outer] for target, outer in cells}
            configs = {target: found.configs.get((target, outer), own) for target, outer in cells}
            done |= evaluate_batch(problem, batch, self.pipeline, scores=scores, configs=configs, rule=rule)
        return ModelEvaluation(problem, self.folds, collect_evaluations(done, len(problem.names), problem.folds))


# Data, how targets and confounds are read, and the seed: all that a study says elsewhere.
def search(
    X: pd.DataFrame | npt.ArrayLike,
    y: pd.Series[Any] | pd.DataFrame | npt.ArrayLike,
    folds: PeopleFolds,
    kind: str = "ridge",
    *,
    task: str | None = None,
    confounds: pd.DataFrame | None = None,
    harmonise: Mapping[str, Any] | None = None,
    seed: int = 0,
    **pipeline: Any,
) -> ModelSearch:
    """Score every configuration of a pipeline on the inner folds, by the fast solvers and without Exax.

    Imputation, removal of sites and confounds, and scaling are fitted on training rows only. Numbers are those of a
    study's jobs with the same seed, names, folds and data.

    Parameters
    ----------
    X : DataFrame or float array of shape (n_subjects, n_regions)
        NaN becomes the median of the training part.
    y : Series, DataFrame or array of shape (n_subjects,) or (n_subjects, n_targets)
        NaN leaves a subject out of that target. Outliers stay (a study makes them missing). Names are part
        of the seeds.
    folds : PeopleFolds
        Of `make_folds`; rows of X, y and confounds must be its people, in its order.
    kind : {"ridge", "elastic", "svm", "lgbm", "sklearn"}
    task : {"regression", "classification", "ordinal"}, optional
        By default numbers are regression; text, categories and booleans are classes, numbered in their sort order; an
        ordered category is ordinal, in its order.
    confounds : DataFrame, optional
        Text becomes one column a level. No missing values.
    harmonise : mapping, optional
        `site`, a Series or array of labels, whose effects ComBat removes; `preserve`, a DataFrame of covariates whose
        effects stay, no target among them; `unseen`, "error" or "pooled". See `[harmonise]` of a study. No missing
        values.
    seed : int
    **pipeline
        Other keys of `[pipelines.<name>]`: n_configs, space, solver, strategy, regression, classification, steps.

    Returns
    -------
    ModelSearch
        Its method `evaluate` returns a `ModelEvaluation`, whose method `scores` returns a table.

    Raises
    ------
    SearchError
        Rows are not those of the folds, a preserved covariate is a copy of a target, or every fit failed.
    FoldError
        A fold has a single class or value of a target, or its training part too few subjects of a site.
    StudyError
        A key of the pipeline is unknown or not allowed.
    InputError
        A target or confound is not what it should be.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> people = pd.DataFrame(index=[f"sub-{n}" for n in range(60)])
    >>> X = pd.DataFrame(rng.normal(size=(60, 5)), index=people.index)
    >>> y = X[0] + rng.normal(size=60)
    >>> folds = cortax.make_folds(people)
    >>> scores = cortax.search(X, y.rename("fluid"), folds, "ridge", n_configs=10).evaluate().scores()
    >>> scores[["target", "metric"]].drop_duplicates().to_numpy().tolist()
    [['fluid', 'r2'], ['fluid', 'mean_squared_error']]
    """
    about = validate("pipeline", {"kind": kind, **pipeline}, Pipeline)
    targets, classes = _targets(y, task, folds)
    check_targets(folds.folds, targets.values, kinds=targets.tasks, names=targets.names, classes=classes)
    tasks = sorted(set(targets.tasks))
    problem = Problem(
        regions=_rows("X", X, folds).to_numpy(),
        targets=targets.values,
        tasks=targets.tasks,
        names=targets.names,
        folds=folds.folds,
        kind=kind,
        configs={each: sample_configs(kind, each, about.n_configs, seed=seed, space=about.space) for each in tasks},
        scorers=Search().model_dump(),
        confounds=_covariates("confound", confounds, folds),
        harmonise=None if harmonise is None else _harmonisation(harmonise, folds, targets),
        seed=seed,
        strategy=search_strategy(kind, about.strategy.model_dump(), about.space),
        plain=about.solver == "scikit-learn",
        group_codes=np.unique(folds.groups, return_inverse=True)[1] if kind == "sklearn" else None,
    )
    made = pipeline_kind(kind, about.estimators, name=kind)
    return ModelSearch(problem, made, folds, solvers.search(problem, made))


def _rows(what: str, values: Any, folds: PeopleFolds) -> pd.DataFrame:
    """Return the values as a frame whose rows are the people of the folds."""
    frame = values.to_frame() if isinstance(values, pd.Series) else values
    if not isinstance(frame, pd.DataFrame):
        frame = pd.DataFrame(np.asarray(values), index=None if len(values) != len(folds.subjects) else folds.subjects)
    if len(frame) != len(folds.subjects):
        raise SearchError(f"{what} has {len(frame)} rows, the folds are of {len(folds.subjects)} people")
    wrong = np.flatnonzero(np.asarray(frame.index != folds.subjects))
    if len(wrong):
        row, index = int(wrong[0]), frame.index
        raise SearchError(
            f"{what} and the folds are not of the same people in one order: row {row} is {index[row]!r} in {what}, "
            f"{folds.subjects[row]!r} in the folds. Take {what}.loc[people.index]"
        )
    return frame


def _targets(y: Any, task: str | None, folds: PeopleFolds) -> tuple[Targets, dict[str, tuple[str, ...]]]:
    """Return targets, and the names of their classes."""
    if isinstance(y, pd.Series) and y.name is None:
        y = y.rename("y")
    frame = _rows("y", y, folds)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    values, reports = read_targets(frame, {name: _kind_of(frame[name], task) for name in frame.columns})
    targets = Targets(values.to_numpy(), tuple(values.columns), tuple(report.kind for report in reports))
    return targets, {report.name: report.classes for report in reports}


def _kind_of(column: pd.Series[Any], task: str | None) -> dict[str, Any]:
    kind = task or _task_of(column)
    if kind == "ordinal" and isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        return {"kind": kind, "order": list(column.cat.remove_unused_categories().cat.categories)}
    if kind == "ordinal" and pd.to_numeric(column.astype(object), errors="coerce").isna().gt(column.isna()).any():
        raise InputError(
            f"y, {column.name!r}: the values are text, which says nothing of their order: take a pd.Categorical with "
            "categories = [...] from the lowest, and ordered = True"
        )
    return {"kind": kind}


def _task_of(column: pd.Series[Any]) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        return "ordinal"
    numbers = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return "regression" if numbers else "classification"


def _covariates(what: str, covariates: pd.DataFrame | None, folds: PeopleFolds) -> npt.NDArray[np.float64]:
    return np.zeros((len(folds.subjects), 0)) if covariates is None else _coded(what, covariates, folds).to_numpy()


def _coded(what: str, covariates: pd.DataFrame, folds: PeopleFolds) -> pd.DataFrame:
    frame = _rows(f"{what}s", covariates, folds)
    values, dropped = read_confounds(frame, list(frame.columns), what=what)
    if dropped:
        raise SearchError(f"{what}s: {len(dropped)} people lack one; the first: {dropped[0].participant_id}")
    return values


def _harmonisation(harmonise: Mapping[str, Any], folds: PeopleFolds, targets: Targets) -> Harmonisation:
    if not isinstance(harmonise, Mapping):
        raise SearchError(f"harmonise must be a mapping such as {{'site': labels}}; got {type(harmonise).__name__}")
    for key in harmonise:
        if key not in ("preserve", "site", "unseen"):
            raise SearchError(f"harmonise: {choices(key, ['preserve', 'site', 'unseen'])}")
    if harmonise.get("site") is None:
        raise SearchError("harmonise: `site` is missing, a label for each person")
    for key in ("site", "preserve"):
        if isinstance(harmonise.get(key), str):
            raise SearchError(f"harmonise, {key}: must be values for each person; got the text {harmonise[key]!r}")
    columns = _rows("harmonise: site", harmonise["site"], folds)
    if columns.shape[1] != 1:
        raise SearchError(f"harmonise, site: must be one column; got {list(columns.columns)}")
    sites = columns.iloc[:, 0]
    if (lacking := sites.index[sites.isna()]).size:
        raise SearchError(f"harmonise: {len(lacking)} people lack a site; the first: {lacking[0]}")
    coded = pd.DataFrame(index=sites.index)
    if harmonise.get("preserve") is not None:
        coded = _coded("preserved covariate", harmonise["preserve"], folds)
    unseen = harmonise.get("unseen", "error")
    made = Harmonisation.of(sites.to_numpy(str), coded.to_numpy(), list(coded.columns), unseen)
    what, names = "preserved covariate", targets.names
    copies = find_copies(coded.to_numpy(), targets.values, columns=made.preserved, names=names, what=what)
    if copies:
        raise SearchError(
            f"harmonise: {copies[0].message}: what is preserved is known of test subjects too, so that a model would "
            "be told what it is to predict"
        )
    check_target_sites(made, folds.folds, targets.values, names)
    return made
