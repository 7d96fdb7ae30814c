"""What `recon-all -qcache -target fsaverage5` leaves of a SIMULATED cohort: thickness on fsaverage5, and its atlas."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from cortax.brain.data.meshes import fsaverage_mesh

N_VERTICES = 10242
N_REGIONS = 34


def write_freesurfer(project: Path, *, n_subjects: int = 40, seed: int = 0) -> None:
    """Write input/freesurfer and input/participants.tsv.

    One subject lacks its right hemisphere, one is not in the table, and all of them are made up.
    """
    rng = np.random.default_rng(seed)
    folder = project / "input" / "freesurfer"
    people = _people(rng, n_subjects)
    female = np.where(people["sex"] == "F", 1.0, -1.0)
    for hemi in ("L", "R"):
        side = f"{hemi.lower()}h"
        mesh = fsaverage_mesh("fsaverage5", "sphere", hemi=hemi).coordinates
        labels = _nearest(mesh, rng.choice(N_VERTICES, N_REGIONS, replace=False))
        write_annot(folder / "fsaverage5" / "label" / f"{side}.aparc.annot", labels, side)
        shared = rng.normal(0, 0.15, (n_subjects, N_REGIONS))
        shared[:, :5] += 0.08 * people["fluid"].to_numpy()[:, None]
        shared[:, 5:9] += 0.06 * female[:, None]
        for row, subject in enumerate(people["participant_id"]):
            values = 2.5 + shared[row][labels] + rng.normal(0, 0.3, N_VERTICES)
            path = folder / subject / "surf" / f"{side}.thickness.fwhm0.fsaverage5.mgh"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.MGHImage(values.astype(np.float32)[:, None, None], np.eye(4)).to_filename(path)
    (folder / "sub-007" / "surf" / "rh.thickness.fwhm0.fsaverage5.mgh").unlink()
    known = people["participant_id"] != "sub-012"
    people[known].to_csv(project / "input" / "participants.tsv", sep="\t", index=False, na_rep="n/a")


def _people(rng, n_subjects):
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{number:03d}" for number in range(n_subjects)],
            "family_id": [f"fam-{number // 2:02d}" for number in range(n_subjects)],
            "age": rng.uniform(20, 40, n_subjects).round(2),
            "sex": np.array(["F", "M"])[rng.permutation(np.arange(n_subjects) % 2)],
            "fluid": rng.normal(size=n_subjects).round(3),
        }
    )


def _nearest(points, centres):
    return np.argmin(np.linalg.norm(points[:, None] - points[centres][None], axis=2), axis=1)


def write_annot(path, labels, side):
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.zeros((N_REGIONS, 5), np.int32)
    colours[:, 0], colours[:, 1] = np.arange(N_REGIONS) + 20, 100
    names = [f"region{number}_{side}" for number in range(N_REGIONS)]
    nib.freesurfer.write_annot(path, labels, colours, names, fill_ctab=True)
