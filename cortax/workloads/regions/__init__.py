"""Brain parcellations x pipelines x targets x folds."""

from cortax.workflow.workload import Table, Workload

__all__ = ["workload"]

_HOME = "cortax.workloads.regions"
_MODELS = ("parcellation", "pipeline", "target", "metric")

workload = Workload(
    kind="regions",
    axes=("pipeline", "parcellation", "target", "fold"),
    study=f"{_HOME}.study.study:RegionsStudy",
    plan=f"{_HOME}.plan.plan:regions_jobs",
    check=f"{_HOME}.check:check_study",
    essential="scores",
    finding="scores",
    narrowed=("tune", "evaluate"),
    units={"tune": "parcellation x pipeline x target x fold"},
    tables={
        "scores": Table(
            "scores",
            "scores.parquet",
            "scores of every parcellation, pipeline, target and metric",
            summary=f"{_HOME}.tables:summary",
            identity=(*_MODELS, "fold"),
            value="value",
        ),
        "permutations": Table(
            "permutation_tests",
            "permutations.parquet",
            "permutation tests of the scores",
            identity=_MODELS,
            value="p",
            missing="[statistics] with permutations = 1000",
        ),
        "comparisons": Table("compare", "comparisons.parquet", "differences between models", missing="[comparisons]"),
        "over_targets": Table(
            "compare", "over_targets.parquet", "differences between models over all targets", missing="[comparisons]"
        ),
        "predictions": Table(
            "", "", "what models predicted of subjects they had not seen", read=f"{_HOME}.predicted:predictions"
        ),
        "importance": Table(
            "",
            "",
            "which regions models rest on",
            read=f"{_HOME}.tables:importance",
            summary=f"{_HOME}.tables:strongest_of_models",
        ),
        "weights": Table("", "", "how much each member of an ensemble counts", read=f"{_HOME}.tables:weights"),
        "dropped": Table("", "", "subjects that were left out, and why", read=f"{_HOME}.tables:left_out"),
        "failed_fits": Table("", "", "fits that failed inside searches", read=f"{_HOME}.tables:failed_fits"),
        "intervals": Table(
            "compare", "intervals.parquet", "scores with intervals over groups", missing="[comparisons]"
        ),
    },
    failures="failed_fits",
    lacking=f"{_HOME}.tables:unscored",
    summary=f"{_HOME}.commands:print_best",
    commands=f"{_HOME}.commands:commands",
    compiled=tuple(f"{_HOME}.compiling:compile_{kind}" for kind in ("ridge", "elastic", "svm")),
)
