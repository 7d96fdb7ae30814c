"""Decoding: signals over time, trained in one phase, tested in others, and permuted."""

from cortax.workflow.workload import Table, Workload

__all__ = ["workload"]

_HOME = "cortax.workloads.decoding"

workload = Workload(
    kind="decoding",
    axes=("features", "decoder", "subject", "phase"),
    study=f"{_HOME}.study:DecodingStudy",
    plan=f"{_HOME}.plan:decoding_jobs",
    check=f"{_HOME}.check:check_decoding",
    essential="decoding_group",
    finding="scores",
    narrowed=("features", "decode", "generalise"),
    units={"decode": "features x decoder x subject x bin"},
    tables={
        "scores": Table(
            "decoding_group",
            "scores.parquet",
            "the score of every subject, and how probable it is by chance",
            identity=("features", "decoder", "phase", "subject", "metric"),
            value="diagonal",
        ),
        "group": Table(
            "decoding_group",
            "group.parquet",
            "scores of the group, tested by permuted labels and flipped signs",
            identity=("features", "decoder", "phase", "metric", "null"),
            value="diagonal",
        ),
        "clusters": Table("decoding_group", "clusters.parquet", "when the group is above chance"),
        "choices": Table("decode", "choices.parquet", "what every bin and fold chose, and how much it selected"),
    },
    summary=f"{_HOME}.tables:print_decoding",
    compiled=(f"{_HOME}.linear:compile_decoders", f"{_HOME}.inference:compile_tests"),
)
