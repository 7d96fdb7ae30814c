"""Gene regulatory networks: a regression for every gene."""

from cortax.workflow.workload import Table, Workload

__all__ = ["workload"]

_HOME = "cortax.workloads.network"

workload = Workload(
    kind="network",
    axes=("forest", "target"),
    study=f"{_HOME}.study:NetworkStudy",
    plan=f"{_HOME}.plan:network_jobs",
    check=f"{_HOME}.check:check_network",
    essential="rank",
    finding="links",
    narrowed=("regress",),
    units={"regress": "forest x target gene"},
    tables={
        "links": Table(
            "rank",
            "links.parquet",
            "the most important links of each forest",
            finish=f"{_HOME}.tables:with_ranks",
            identity=("forest", "regulator", "target"),
            value="importance",
        ),
        "genes": Table("graph", "genes.tsv", "degrees, hubs and components of each graph"),
        "scores": Table(
            "network_scores", "scores.parquet", "agreement of each forest with what is known", missing="[truth]"
        ),
        "curves": Table(
            "network_curves", "curves.parquet", "ROC and precision-recall curves of each forest", missing="[truth]"
        ),
    },
    summary=f"{_HOME}.tables:print_network",
    compiled=(f"{_HOME}.forests:compile_trees",),
)
