"""`ax run build`: the two studies that come with cortax."""

from pathlib import Path

from cortax.grid.build import build_study

ROOT = Path(__file__).resolve().parents[1]


def main(urd, job):
    for study in ("demo", "ds000174"):
        build_study(urd, job, f"studies/{study}.toml", ROOT)
