"""`cortax init`: a project in the user's own folder, with a study that can be built at once."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Annotated

import typer

from cortax.cli.app import app
from cortax.errors import ProjectError
from cortax.project import check_path_length

__all__ = ["init", "project_files"]

_TEMPLATES = Path(__file__).with_name("templates")
_REGIONS = ("cuneus", "insula", "precuneus", "superiorfrontal")
_N_PEOPLE = 60


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="made if need be; may hold other files")]) -> None:
    """Make a project in a folder of your own: settings of Exax, a build script, and a simulated study to begin with."""
    root = folder.resolve()
    check_path_length(root)
    files = project_files()
    # Of the packages, those in a project's own folder would hide the installed ones.
    if taken := [name for name in (*files, "cortax", "methods") if (root / name).exists()]:
        raise ProjectError(
            f"{root}: {', '.join(taken)} must not be there before; move away what is, or take another folder"
        )
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    _ignore(root / ".gitignore")
    print(f"{root}: a project, with the study 'example'\ncd {root} && cortax build example")


def project_files() -> dict[str, str]:
    """Return the text of each file of a new project but `.gitignore`, by its name."""
    packages = "".join(f"\t{package} auto-discover\n" for package in _method_packages())
    return {
        "accelerator.conf": _template("accelerator.conf").replace("{methods}", packages),
        "dev/__init__.py": _template("dev_init.txt"),
        "dev/build_studies.py": _template("build_studies.txt"),
        "studies/example.toml": _template("example.toml"),
        "workdirs/main/.gitkeep": "",
        **_simulated(),
    }


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text()


def _method_packages() -> list[str]:
    spec = importlib.util.find_spec("methods")  # it is not imported: it makes rules for its process
    if spec is None or spec.origin is None:
        raise ProjectError("the package 'methods' is not installed, which comes with cortax; install cortax again")
    return sorted({f"methods.{path.parent.name}" for path in Path(spec.origin).parent.glob("*/a_*.py")})


def _ignore(path: Path) -> None:
    """Add what is missing: most repositories have such a file."""
    present = path.read_text() if path.exists() else ""
    if lines := [line for line in _template("gitignore").splitlines() if line not in present.splitlines()]:
        path.write_text(present + "\n" * bool(present) + "\n".join(lines) + "\n")


def _simulated() -> dict[str, str]:
    """Sixty people: the score goes with one region of either side, sex with nothing, ages with all."""
    rng = random.Random(2021)  # noqa: S311 - simulated data
    regions = [f"{side}h_{region}_thickness" for side in "lr" for region in _REGIONS]
    table, people = [",".join(["participant_id", *regions])], ["participant_id\tage\tsex\tscore"]
    for number in range(1, _N_PEOPLE + 1):
        age = rng.uniform(20, 60)
        thickness = {region: 2.6 - 0.005 * age + rng.gauss(0, 0.15) for region in regions}
        score = 100 + 40 * (thickness["lh_insula_thickness"] + thickness["rh_insula_thickness"] - 4.8) + rng.gauss(0, 5)
        name = f"sub-{number:02d}"
        table.append(",".join([name, *(f"{value:.3f}" for value in thickness.values())]))
        people.append(f"{name}\t{age:.1f}\t{'FM'[number % 2]}\t{score:.1f}")
    return {
        "input/example/thickness.csv": "\n".join(table) + "\n",
        "input/example/participants.tsv": "\n".join(people) + "\n",
    }
