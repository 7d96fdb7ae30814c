"""What a plan may ask of earlier jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cortax.workflow.plan.jobspec import JobSpec

__all__ = ["PastJobs"]


class PastJobs(Protocol):
    """Earlier jobs, as far as they decide how work is cut."""

    def reusable(self, method: str, study: str, key: Mapping[str, str]) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Key and options of finished jobs of present code whose key holds this one; newest first."""

    def finished(self, spec: JobSpec) -> bool:
        """Whether a job of this method, these options and present code is there, whatever its inputs."""
