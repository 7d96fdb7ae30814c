"""A study: what a user asks for, read from TOML, typed and validated before anything runs."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cortax.errors import StudyError, choices

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Evaluate", "Grid", "Images", "Phenotypes", "Pipeline", "Splits", "Study", "Table", "Target", "read_study"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Task = Literal["regression", "classification"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Images(_Section):
    """Vertex- or voxel-wise maps, one file a subject, map and (on surfaces) hemisphere."""

    root: str
    space: str
    maps: dict[Name, str] = Field(min_length=1)
    max_missing: float = Field(default=0.0, ge=0, lt=1)
    outlier_sd: float | None = Field(default=10.0, gt=0)
    damaged: Literal["drop", "error"] = "drop"


class Table(_Section):
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


class Phenotypes(_Section):
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


class Target(_Section):
    """What is predicted; `column` is the key of the section where it is not given."""

    kind: Task
    column: str | None = None
    positive: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _positive_class(self) -> Target:
        if self.positive is not None and self.kind != "classification":
            raise ValueError(f"positive = {self.positive!r} goes with kind = 'classification' only")
        return self


class Splits(_Section):
    """Outer and inner cross-validation, the same for every parcellation and pipeline."""

    n_outer: int = Field(default=5, ge=2)
    n_inner: int = Field(default=3, ge=2)
    n_repeats: int = Field(default=1, ge=1)
    scheme: Literal["group-kfold", "leave-one-site-out"] = "group-kfold"
    stratify: str | None = None
    n_bins: int = Field(default=5, ge=2)


class Strategy(_Section):
    """How a LightGBM pipeline is searched, where that is not every configuration on every inner fold."""

    staged: bool = False
    racing: bool = False
    sampler: Literal["random", "tpe"] = "random"


class Pipeline(_Section):
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


class Search(_Section):
    """By what the configurations are compared on the inner validation parts."""

    regression: str = "explained_variance"
    classification: str = "matthews_corrcoef"


class Metrics(_Section):
    """What is reported."""

    regression: list[str] = ["r2", "mean_squared_error"]
    classification: list[str] = ["roc_auc", "matthews_corrcoef", "balanced_accuracy"]


class Evaluate(_Section):
    """How the configuration is chosen, and what is reported of the refitted model."""

    choose: Literal["best", "one-standard-error"] = "best"
    metrics: Metrics = Metrics()
    n_bootstrap: int = Field(default=1000, ge=0)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class Grid(_Section):
    """How the work is cut into jobs: those of parcellations with many columns, or named, by outer fold.

    It changes no number. By default 2,000 parcels of four maps are many.
    """

    by_fold: list[str] = []
    by_fold_above: int = Field(default=7500, ge=1)


class Study(_Section):
    """A whole study. Every key is described in the README."""

    name: Name
    title: str
    simulated: bool = False
    seed: int = Field(default=0, ge=0)
    images: Images | None = None
    tables: dict[Name, Table] = {}
    phenotypes: Phenotypes
    targets: dict[Name, Target] = Field(min_length=1)
    splits: Splits = Splits()
    parcellations: dict[Name, dict[str, Any]] = {}
    pipelines: dict[Name, Pipeline] = Field(min_length=1)
    search: Search = Search()
    evaluate: Evaluate = Evaluate()
    grid: Grid = Grid()

    @field_validator("parcellations")
    @classmethod
    def _kinds(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, spec in value.items():
            if not isinstance(spec.get("kind"), str):
                raise ValueError(f"parcellation {name!r} needs kind = '...'")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Study:
        if self.images is None and not self.tables:
            raise ValueError("the study is empty: it needs [images] with [parcellations.*], or [tables.*]")
        if self.images is not None and not self.parcellations and not self.tables:
            raise ValueError("[images] without any [parcellations.<name>]")
        if self.images is None and self.parcellations:
            raise ValueError("[parcellations.*] need [images] to be applied to")
        if both := sorted(set(self.tables) & set(self.parcellations)):
            raise ValueError(f"{both} named in [tables] and in [parcellations]")
        if self.splits.scheme == "leave-one-site-out" and self.phenotypes.site is None:
            raise ValueError("splits.scheme = 'leave-one-site-out' needs phenotypes.site = '<column>'")
        if self.splits.scheme == "leave-one-site-out" and self.grid.by_fold:
            raise ValueError("grid.by_fold goes with splits.scheme = 'group-kfold': sites are counted in the build")
        places = {f"pipelines.{name}.parcellations": one.parcellations for name, one in self.pipelines.items()}
        for place, patterns in (places | {"grid.by_fold": self.grid.by_fold}).items():
            for pattern in patterns:
                if not fnmatch.filter(self.region_sets, pattern):
                    raise ValueError(f"{place}: nothing matches: {choices(pattern, self.region_sets)}")
        return self

    @property
    def region_sets(self) -> list[str]:
        """Names of all sets of regions: the parcellations and the tables."""
        return [*self.parcellations, *self.tables]

    def parcellations_of(self, pipeline: str) -> list[str]:
        """Return the names of the parcellations (and tables) that a pipeline is run on, in study order."""
        patterns = self.pipelines[pipeline].parcellations
        return [name for name in self.region_sets if any(fnmatch.fnmatchcase(name, p) for p in patterns)]

    def is_by_fold(self, regions: str, n_regions: int) -> bool:
        """Say whether a parcellation (or table) of so many columns gets a job for every outer fold.

        Never where sites are left out: how many there are is not known before the build.
        """
        if self.splits.scheme == "leave-one-site-out":
            return False
        named = any(fnmatch.fnmatchcase(regions, pattern) for pattern in self.grid.by_fold)
        return named or n_regions > self.grid.by_fold_above


def read_study(path: str | Path) -> Study:
    """Read and validate a study file.

    Parameters
    ----------
    path : path
        A TOML file.

    Raises
    ------
    StudyError
        It is missing or not TOML, or a key is unknown, missing or has a value that is not allowed. The
        message names the file and each key, what was allowed and what was found.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from error
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        lines = [_explain(dict(detail)) for detail in error.errors()]
        raise StudyError(f"{path}: " + "\n  ".join(lines)) from error
    if study.name != path.stem:
        raise StudyError(f"{path}: name = {study.name!r} must be the file's own name, {path.stem!r}")
    return study


def _explain(detail: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "study"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; {choices(str(detail['loc'][-1]), _keys(detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{where}: missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    found = "" if detail["type"] == "value_error" else f"; got {detail['input']!r}"
    return f"{where}: {message}{found}"


def _keys(path: tuple[str | int, ...]) -> list[str]:
    """Keys that are allowed at a place of the study file."""
    model: type[BaseModel] = Study
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _model_in(argument):
            return found
    return None
