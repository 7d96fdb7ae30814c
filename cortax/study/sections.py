"""The sections of a study file that say what is studied, and how it is searched and scored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Evaluate",
    "Grid",
    "Images",
    "Metrics",
    "Name",
    "Phenotypes",
    "Pipeline",
    "Search",
    "Section",
    "Splits",
    "Strategy",
    "Table",
    "Target",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Task = Literal["regression", "classification"]


class Section(BaseModel):
    """A table of the study file: unknown keys are errors, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Images(Section):
    """Vertex- or voxel-wise maps, one file a subject, map and (on surfaces) hemisphere."""

    root: str
    space: str
    maps: dict[Name, str] = Field(min_length=1)
    max_missing: float = Field(default=0.0, ge=0, lt=1)
    outlier_sd: float | None = Field(default=10.0, gt=0)
    damaged: Literal["drop", "error"] = "drop"


class Table(Section):
    """Regions that another program has already summarised: one row a subject."""

    files: list[str] = Field(min_length=1)
    sessions: list[str] | None = None
    id: list[str] = Field(default=["participant_id"], min_length=1)
    id_prefix: str = ""
    columns: str | list[str] | None = None
    drop: str | list[str] = []

    @model_validator(mode="after")
    def _one_session_a_file(self) -> Table:
        if self.sessions is not None and len(self.sessions) != len(self.files):
            raise ValueError(f"{len(self.sessions)} sessions for {len(self.files)} files; they must be as many")
        return self


class Phenotypes(Section):
    """Who the subjects are: targets, groups and confounds come from this table."""

    file: str
    id: list[str] = Field(default=["participant_id"], min_length=1)
    id_prefix: str = ""
    sessions: list[str] = []
    group: str | None = None
    site: str | None = None
    confounds: list[str] = []
    categorical: list[str] = []
    outlier_sd: float | None = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _categorical_confounds(self) -> Phenotypes:
        if others := sorted(set(self.categorical) - set(self.confounds)):
            raise ValueError(f"categorical: {others} are not among the confounds, {self.confounds}")
        return self


class Target(Section):
    """What is predicted; `column` is the key of the section where it is not given."""

    kind: Task
    column: str | None = None
    positive: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _positive_class(self) -> Target:
        if self.positive is not None and self.kind != "classification":
            raise ValueError(f"positive = {self.positive!r} goes with kind = 'classification' only")
        return self


class Splits(Section):
    """Outer and inner cross-validation, the same for every parcellation and pipeline."""

    n_outer: int = Field(default=5, ge=2)
    n_inner: int = Field(default=3, ge=2)
    n_repeats: int = Field(default=1, ge=1)
    scheme: Literal["group-kfold", "leave-one-site-out"] = "group-kfold"
    stratify: str | None = None
    n_bins: int = Field(default=5, ge=2)


class Strategy(Section):
    """How a LightGBM pipeline is searched, where that is not every configuration on every inner fold."""

    staged: bool = False
    racing: bool = False
    sampler: Literal["random", "tpe"] = "random"


class Pipeline(Section):
    """A family of models, how many configurations of it are tried, and on which parcellations."""

    kind: str
    n_configs: int = Field(default=60, ge=1)
    parcellations: list[str] = ["*"]
    space: dict[str, Any] = {}
    regression: str | None = None
    classification: str | None = None
    solver: Literal["fast", "scikit-learn"] = "fast"
    strategy: Strategy = Strategy()

    @model_validator(mode="after")
    def _own_strategy(self) -> Pipeline:
        if self.strategy != Strategy():
            if self.kind != "lgbm":
                raise ValueError(f"strategy goes with kind = 'lgbm' only; got kind = {self.kind!r}")
            if self.solver != "fast":
                raise ValueError(f"strategy goes with solver = 'fast' only; got solver = {self.solver!r}")
        return self

    @model_validator(mode="after")
    def _own_classes(self) -> Pipeline:
        if self.kind != "sklearn" and (named := self.regression or self.classification):
            raise ValueError(f"the class {named!r} goes with kind = 'sklearn' only; got kind = {self.kind!r}")
        return self


class Search(Section):
    """By what the configurations are compared on the inner validation parts."""

    regression: str = "explained_variance"
    classification: str = "matthews_corrcoef"


class Metrics(Section):
    """What is reported."""

    regression: list[str] = ["r2", "mean_squared_error"]
    classification: list[str] = ["roc_auc", "matthews_corrcoef", "balanced_accuracy"]


class Evaluate(Section):
    """How the configuration is chosen, and what is reported of the refitted model."""

    choose: Literal["best", "one-standard-error"] = "best"
    metrics: Metrics = Metrics()
    n_bootstrap: int = Field(default=1000, ge=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class Grid(Section):
    """How the work is cut into jobs: those of parcellations with many columns, or named, by outer fold.

    It changes no number. A job of one fold ends sooner, but workers wait for each other at its end: all in all it takes
    longer. Where nothing is said, nothing is cut by fold but what was searched so before.
    """

    by_fold: list[str] = []
    by_fold_above: int | None = Field(default=None, ge=1)
