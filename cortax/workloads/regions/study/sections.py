"""The sections of a study file that say what is studied, and how it is searched and scored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from cortax.data.id_rule import IdRule
from cortax.data.row_filter import parse_condition
from cortax.errors import StudyError
from cortax.study.patterns import ALL, Patterns
from cortax.study.section import Name, Section, expand_paths

__all__ = [
    "Connectivity",
    "Evaluate",
    "Grid",
    "Harmonise",
    "IdRuleSection",
    "Images",
    "Metrics",
    "Phenotypes",
    "Pipeline",
    "Search",
    "Splits",
    "Strategy",
    "Table",
    "Target",
]

Task = Literal["regression", "classification", "ordinal"]


def _check_rows(patterns: dict[str, str], subjects: str | None, id_prefix: str) -> None:
    """Refuse what is said of the rows of a file of all subjects where there is none."""
    if (subjects is not None or id_prefix) and all("{participant_id}" in pattern for pattern in patterns.values()):
        key = "subjects" if subjects is not None else "id_prefix"
        raise ValueError(
            f"{key}: goes with one file of all subjects; each pattern, {patterns}, holds {{participant_id}}"
        )


def _parsed(where: str) -> str:
    if where:
        try:
            parse_condition(where)
        except StudyError as error:
            raise ValueError(str(error)) from error
    return where


class IdRuleSection(Section):
    """How identifiers are written anew, so that they are those of the other sources."""

    pattern: str
    to: str

    @model_validator(mode="after")
    def _can_be_applied(self) -> IdRuleSection:
        try:
            IdRule(self.pattern, self.to)
        except StudyError as error:
            raise ValueError(str(error)) from error
        return self


class Images(Section):
    """Vertex- or voxel-wise maps: a file a subject, map and (on surfaces) hemisphere, or a file of all subjects."""

    root: str
    space: str
    maps: dict[Name, str] = Field(min_length=1)
    subjects: str | None = None
    id_prefix: str = ""
    sessions: Literal["each", "average", "first"] | list[str] | None = None
    runs: Literal["each", "average", "first"] | list[str] = "average"
    max_missing: float = Field(default=0.0, ge=0, lt=1)
    outlier_sd: float | None = Field(default=10.0, gt=0)
    damaged: Literal["drop", "error"] = "drop"

    @field_validator("root", "subjects")
    @classmethod
    def _places(cls, path: str | None) -> str | None:
        return expand_paths(path)

    @model_validator(mode="after")
    def _whose_rows(self) -> Images:
        _check_rows(self.maps, self.subjects, self.id_prefix)
        return self

    @model_validator(mode="after")
    def _sessions_in_patterns(self) -> Images:
        for key, field in (("sessions", "{session}"), ("runs", "{run}")):
            value = getattr(self, key)
            if value == type(self).model_fields[key].default:
                continue
            if not value:
                raise ValueError(f"{key}: the list is empty")
            if not any(field in pattern for pattern in self.maps.values()):
                raise ValueError(f"{key} = {value!r} needs {field} in the patterns of maps")
        return self


class Table(Section):
    """Regions that another program has already summarised: one row a subject."""

    files: list[str] = Field(min_length=1)
    sessions: list[str] | None = None
    id: list[str] = Field(default=["participant_id"], min_length=1)
    id_prefix: str = ""
    subjects: str | None = None
    id_rule: IdRuleSection | None = None
    where: str = ""
    columns: str | list[str] | None = None
    drop: str | list[str] = []
    missing: list[float | str] = []
    max_missing: float = Field(default=0.5, ge=0, lt=1)

    @field_validator("files", "subjects")
    @classmethod
    def _places(cls, paths: list[str] | str | None) -> list[str] | str | None:
        return expand_paths(paths)

    @field_validator("where")
    @classmethod
    def _condition(cls, where: str) -> str:
        return _parsed(where)

    @model_validator(mode="after")
    def _one_session_a_file(self) -> Table:
        if self.sessions is not None and len(self.sessions) != len(self.files):
            raise ValueError(f"{len(self.sessions)} sessions for {len(self.files)} files; they must be as many")
        return self

    @model_validator(mode="after")
    def _rows_of_parcels(self) -> Table:
        parcels = [file for file in self.files if file.lower().endswith(".nii")]
        if self.subjects is not None and not parcels:
            raise ValueError(f"subjects: goes with files of parcels, such as .pscalar.nii; found {self.files}")
        if parcels and (self.where or self.id_rule):
            raise ValueError(f"where and id_rule go with tables of text or Parquet; found {parcels}")
        return self

    @property
    def inputs(self) -> list[str]:
        """All files that it is read from."""
        return [*self.files, *([] if self.subjects is None else [self.subjects.partition("#")[0]])]


class Connectivity(Section):
    """Matrices of connectivity between regions, one a subject: each pair of regions is a column."""

    root: str
    matrices: str
    subjects: str | None = None
    id_prefix: str = ""
    labels: str | None = None
    transform: Literal["none", "fisher-z"] = "none"
    max_missing: float = Field(default=0.5, ge=0, lt=1)
    damaged: Literal["drop", "error"] = "drop"

    @field_validator("root", "subjects", "labels")
    @classmethod
    def _places(cls, path: str | None) -> str | None:
        return expand_paths(path)

    @model_validator(mode="after")
    def _one_matrix_a_subject(self) -> Connectivity:
        if any(mark in self.matrices for mark in ("{hemi", "{session}", "{run}", "#")):
            raise ValueError(
                "matrices: one file a subject, without hemisphere, session, run or '#' ('*' stands for a session of "
                f"any name, where a subject has one); got {self.matrices!r}"
            )
        _check_rows({"matrices": self.matrices}, self.subjects, self.id_prefix)
        return self

    def as_images(self, name: str) -> dict[str, Any]:
        """Say where the matrices are, as `[images]` does of maps."""
        return {"maps": {name: self.matrices}, **self.model_dump(include={"root", "subjects", "id_prefix"})}


class Phenotypes(Section):
    """Who the subjects are: targets, groups and confounds come from this table."""

    file: str | list[str] = Field(min_length=1)
    join: list[str] = []
    id: list[str] = Field(default=["participant_id"], min_length=1)
    id_prefix: str = ""
    id_rule: IdRuleSection | None = None
    where: str = ""
    include: str | list[str] = []
    exclude: str | list[str] = []
    sessions: list[str] = []
    missing: list[float | str] = []
    group: str | Literal[False] | None = None
    site: str | None = None
    confounds: list[str] = []
    categorical: list[str] = []
    outlier_sd: float | None = Field(default=10.0, gt=0)

    @field_validator("file", "include", "exclude")
    @classmethod
    def _places(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        # A list of `include` and `exclude` has identifiers.
        return expand_paths(value) if isinstance(value, str) or info.field_name == "file" else value

    @field_validator("where")
    @classmethod
    def _condition(cls, where: str) -> str:
        return _parsed(where)

    @model_validator(mode="after")
    def _joined_files(self) -> Phenotypes:
        if self.join and (isinstance(self.file, str) or len(self.file) < 2):
            raise ValueError(f"join = {self.join} goes with several files; got file = {self.file!r}")
        if self.join and (lacking := sorted(set(self.id) - set(self.join))):
            raise ValueError(f"join = {self.join} must hold the columns of id; {lacking} are not among them")
        return self

    @model_validator(mode="after")
    def _categorical_confounds(self) -> Phenotypes:
        if others := sorted(set(self.categorical) - set(self.confounds)):
            raise ValueError(f"categorical: {others} are not among the confounds, {self.confounds}")
        return self


class Harmonise(Section):
    """Removal of what sites add to regions, fitted on training subjects."""

    method: Literal["combat"] = "combat"
    site: str | None = None
    preserve: list[str] = []
    categorical: list[str] = []
    unseen: Literal["error", "pooled"] = "error"

    @model_validator(mode="after")
    def _categorical_covariates(self) -> Harmonise:
        if others := sorted(set(self.categorical) - set(self.preserve)):
            raise ValueError(f"categorical: {others} are not among those to preserve, {self.preserve}")
        if self.site in self.preserve:
            raise ValueError(f"preserve: {self.site!r} is the site itself, whose effect is removed")
        return self


class Target(Section):
    """What is predicted; `column` is the key of the section where it is not given."""

    kind: Task
    column: str | None = None
    positive: str | int | float | bool | None = None
    order: list[str | int | float | bool] | None = None

    @model_validator(mode="after")
    def _positive_class(self) -> Target:
        if self.positive is not None and self.kind != "classification":
            raise ValueError(f"positive = {self.positive!r} goes with kind = 'classification' only")
        if self.order is not None and self.kind != "ordinal":
            raise ValueError(f"order = {self.order!r} goes with kind = 'ordinal' only")
        return self

    @model_serializer(mode="wrap")
    def _without_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a target is names its jobs: one that has no order is what it was before there were ordinal ones.
        found: dict[str, Any] = handler(self)
        return found if self.order is not None else {key: value for key, value in found.items() if key != "order"}


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
    sampler: Literal["random"] = "random"

    @field_validator("sampler", mode="before")
    @classmethod
    def _known_sampler(cls, sampler: Any) -> Any:
        if sampler == "tpe":
            raise ValueError("sampler 'tpe' was removed, it did not pay; leave sampler out, or say 'random'")
        return sampler


class Step(Section):
    """What comes before an estimator, or the estimator, with parameters of its own."""

    estimator: str
    name: str | None = None
    parameters: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _name_of_scikit_learn(cls, name: str | None) -> str | None:
        if name is not None and (not name or "__" in name):
            raise ValueError(f"name = {name!r}: `__` parts names of steps and parameters; a name has none")
        return name


class Pipeline(Section):
    """A family of models, how many configurations of it are tried, and on which parcellations."""

    kind: str
    n_configs: int = Field(default=60, ge=1)
    parcellations: Patterns = ALL
    space: dict[str, Any] = {}
    regression: str | None = None
    classification: str | None = None
    steps: list[str | Step] = []
    reads: list[str] = []
    solver: Literal["fast", "scikit-learn"] = "fast"
    strategy: Strategy = Strategy()

    @field_validator("reads")
    @classmethod
    def _paths(cls, value: list[str]) -> list[str]:
        return expand_paths(value)

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
        if self.kind != "sklearn" and self.steps:
            raise ValueError(f"steps go with kind = 'sklearn' only; got kind = {self.kind!r}")
        if self.kind != "sklearn" and self.reads:
            raise ValueError(f"reads goes with kind = 'sklearn' only; got kind = {self.kind!r}")
        return self

    @property
    def estimators(self) -> dict[str, Any]:
        """What it names, as `own_estimators` takes it."""
        named = self.model_dump(include={"regression", "classification", "steps"})
        return {key: value for key, value in named.items() if value}


class Search(Section):
    """By what the configurations are compared on the inner validation parts."""

    regression: str = "explained_variance"
    classification: str = "matthews_corrcoef"
    ordinal: str = "cohen_kappa"


class Metrics(Section):
    """What is reported."""

    regression: list[str] = ["r2", "mean_squared_error"]
    classification: list[str] = ["roc_auc", "matthews_corrcoef", "balanced_accuracy"]
    ordinal: list[str] = ["cohen_kappa", "mean_absolute_error", "balanced_accuracy"]


class Evaluate(Section):
    """How the configuration is chosen, and what is reported of the refitted model."""

    choose: Literal["best", "one-standard-error"] = "best"
    metrics: Metrics = Metrics()
    confidence: float = Field(default=0.95, gt=0, lt=1)


class Grid(Section):
    """How the work is cut into jobs: those of parcellations with many columns, or named, by outer fold.

    It changes no number. A job of one fold ends sooner, but workers wait for each other at its end: all in all it takes
    longer. Where nothing is said, nothing is cut by fold but what was searched so before.
    """

    by_fold: Patterns = Patterns(())
    by_fold_above: int | None = Field(default=None, ge=1)
