"""Diffusion: a model fitted in every voxel of diffusion-weighted volumes, and maps of what was found."""

from cortax.workflow.workload import Table, Workload

__all__ = ["workload"]

_HOME = "cortax.workloads.diffusion"

workload = Workload(
    kind="diffusion",
    axes=("model", "volume"),
    study=f"{_HOME}.study:DiffusionStudy",
    plan=f"{_HOME}.plan:diffusion_jobs",
    check=f"{_HOME}.check:check_diffusion",
    essential="diffusion_maps",
    finding="maps",
    narrowed=("diffusion_volume", "diffusion_response", "diffusion_fit", "diffusion_residuals", "diffusion_maps"),
    units={"diffusion_fit": "model x volume x run of voxels"},
    tables={
        "maps": Table(
            "diffusion_maps",
            "maps.parquet",
            "what every map holds",
            identity=("model", "volume", "map"),
            value="mean",
        ),
        "status": Table("diffusion_residuals", "status.parquet", "what became of every voxel"),
        "residuals": Table("diffusion_residuals", "residuals.parquet", "signals less what models predict, by gradient"),
    },
    summary=f"{_HOME}.tables:print_diffusion",
    compiled=(f"{_HOME}.models.making:compile_tensors", f"{_HOME}.models.making:compile_free_water"),
)
