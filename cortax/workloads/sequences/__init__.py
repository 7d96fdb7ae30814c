"""Sequences: many small recurrent networks, a model a site, factor and seed."""

from cortax.workflow.workload import Table, Workload

__all__ = ["workload"]

_HOME = "cortax.workloads.sequences"

workload = Workload(
    kind="sequences",
    axes=("site", "epochs"),
    study=f"{_HOME}.study:SequencesStudy",
    plan=f"{_HOME}.plan:sequences_jobs",
    check=f"{_HOME}.check:check_sequences",
    essential="skill",
    finding="skill",
    narrowed=("train", "predict", "skill"),
    units={"train": "factor x seed"},
    tables={
        "skill": Table(
            "skill",
            "skill.parquet",
            "skill of every model",
            summary=f"{_HOME}.tables:summarise_skill",
            identity=("site", "period", "target", "factor", "seed"),
            value="nse",
        ),
        "means": Table(
            "skill",
            "means.parquet",
            "skill of the mean prediction over seeds, of a linear model, and of the mean of the day of the year",
        ),
        "choices": Table("choose", "choices.parquet", "factors chosen by validation", missing="factors, one of them 0"),
        "gains": Table(
            "sequences_compare",
            "gains.parquet",
            "what secondary targets are worth",
            identity=("site", "metric"),
            value="gain",
            missing="factors, one of them 0",
        ),
        "counts": Table(
            "sequences_compare", "counts.parquet", "how many sites gain and lose", missing="factors, one of them 0"
        ),
    },
    summary=f"{_HOME}.tables:print_sequences",
    compiled=(f"{_HOME}.training:compile_lstm",),
)
