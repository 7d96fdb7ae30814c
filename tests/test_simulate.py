"""Tests of the simulated cohort: its files, its damage, its reproducibility."""

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from cortax.brain.data import simulate as module
from cortax.brain.data.simulate import DAMAGE, MARKER, TRAITS, simulate
from cortax.errors import InputError
from cortax.workflow.workload import read_study

N = 24


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab") / "input" / "simulated"
    assert simulate(folder, n_subjects=N, seed=5)
    return folder


@pytest.fixture(scope="module")
def table(cohort):
    return pd.read_csv(cohort / "participants.tsv", sep="\t", na_values="n/a")


def damaged(cohort):
    found = {}
    for line in (cohort / "README").read_text().splitlines():
        for kind, text in DAMAGE.items():
            if line.endswith(f": {text}"):
                found[kind] = line[2:].split(":")[0]
    return found


def files(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def thickness(cohort, subject, hemi):
    return nibabel.load(cohort / subject / "anat" / f"{subject}_hemi-{hemi}_thickness.shape.gii")


def test_every_healthy_subject_has_two_maps_of_two_hemispheres(cohort, table):
    bad = set(damaged(cohort).values())
    healthy = [subject for subject in table.participant_id if subject not in bad]
    assert len(healthy) == N - 9
    for subject in healthy:
        for hemi, structure in (("L", "CortexLeft"), ("R", "CortexRight")):
            image = thickness(cohort, subject, hemi)
            assert image.meta["AnatomicalStructurePrimary"] == structure
            values = image.agg_data()
            assert values.dtype == np.float32
            assert values.shape == (10242,)
            assert ((values == 0) | (values >= 0.5)).all()
            assert 2 < values[values > 0].mean() < 3.2  # mm
            with (cohort / subject / "anat" / f"{hemi.lower()}h.sulc.mgh").open("rb") as stream:
                sulc = nibabel.MGHImage.from_stream(stream)
            assert sulc.get_data_dtype() == ">f4"
            assert sulc.shape == (10242, 1, 1)


def test_the_mean_anatomy_is_that_of_fsaverage5(cohort, table):
    bad = set(damaged(cohort).values())
    mean = np.mean([thickness(cohort, s, "L").agg_data() for s in table.participant_id if s not in bad], axis=0)
    real, wall = module._template("thickness", "L")
    assert np.corrcoef(mean[~wall], real[~wall])[0, 1] > 0.95
    assert (mean[wall] == 0).all()


def test_each_kind_of_damage_is_there(cohort, table):
    who = damaged(cohort)
    assert set(who) == set(DAMAGE)
    assert len(set(who.values())) == len(DAMAGE)
    ids = set(table.participant_id)
    assert ids == {f"sub-{i:04d}" for i in range(1, N + 1)}
    assert who["no phenotypes"] not in ids
    assert (cohort / who["no phenotypes"] / "anat").is_dir()
    assert who["no images"] in ids
    assert not (cohort / who["no images"]).exists()
    with pytest.raises(Exception, match=r"no element found|unclosed|not well-formed"):
        thickness(cohort, who["truncated"], "L")
    anat = cohort / who["missing hemisphere"] / "anat"
    assert (anat / "lh.sulc.mgh").is_file()
    assert not (anat / "rh.sulc.mgh").exists()
    empty = who["empty"]
    assert (cohort / empty / "anat" / f"{empty}_hemi-R_thickness.shape.gii").stat().st_size == 0
    values = thickness(cohort, who["not finite"], "L").agg_data()
    assert np.isnan(values).any()
    assert np.isinf(values).any()
    assert (~np.isfinite(values)).mean() / 2 > 0.05  # of both hemispheres
    assert 0 < (~np.isfinite(thickness(cohort, who["few not finite"], "L").agg_data())).mean() / 2 < 0.05
    assert thickness(cohort, who["outlier"], "R").agg_data().std() > 15
    for name in ("fluid", "body_mass"):
        assert table.set_index("participant_id")[name][who[f"outlier {name}"]] == 9999


def test_a_phenotype_outlier_is_beyond_ten_standard_deviations():
    ids = [f"sub-{i}" for i in range(1, 302)]
    people, _ = module._people(ids, 2021)
    values = people.fluid.to_numpy().copy()
    values[3] = 9999
    assert abs(values[3] - values.mean()) / values.std() > 10


def test_the_table_is_described_and_has_families_sites_and_missing_values(cohort, table):
    told = json.loads((cohort / "participants.json").read_text())
    assert list(told) == list(table.columns)
    assert all("SIMULATED" in column["Description"] for column in told.values())
    assert "SIMULATED" in json.loads((cohort / "dataset_description.json").read_text())["Name"]
    assert (cohort / "README").read_text().startswith("SIMULATED")
    assert (table.groupby("family_id").site.nunique() == 1).all()
    assert table.family_id.value_counts().between(1, 4).all()
    assert "n/a" in (cohort / "participants.tsv").read_text()
    for trait in TRAITS:
        assert table[trait.name].notna().sum() > N / 2


def test_prevalences_and_shares_of_families_are_as_stated():
    people, latent = module._people([str(i) for i in range(4000)], 1)
    for trait in TRAITS:
        if trait.prevalence is not None:
            assert (people[trait.name] == "yes").mean() == pytest.approx(trait.prevalence, abs=0.01)
    sizes = people.family_id.map(people.family_id.value_counts())
    pairs = np.flatnonzero((sizes == 2).to_numpy()).reshape(-1, 2)
    lottery = latent["lottery"]
    assert np.corrcoef(lottery[pairs[:, 0]], lottery[pairs[:, 1]])[0, 1] == pytest.approx(0.8, abs=0.08)
    for null in ("lottery", "left_handed"):
        assert next(trait for trait in TRAITS if trait.name == null).effect == 0


def test_effects_live_where_they_should():
    ids = [str(i) for i in range(250)]
    people, latent = module._people(ids, 3)
    _, _, values = next(module._images(people, latent, 3))
    _, bases = module._bases("L")
    fitted = {}
    for trait in TRAITS:
        z = latent[trait.name]
        slope = values.T @ (z - z.mean()) / len(z)
        pattern = module._rng(3, "effect", trait.name, "thickness", "L").standard_normal(trait.scale)
        wall = module._template("thickness", "L")[1]
        fitted[trait.name] = np.corrcoef(slope[~wall], (bases[trait.scale] @ pattern)[~wall])[0, 1]
    assert fitted["fluid"] > 0.3
    assert fitted["smoker"] > 0.3
    assert fitted["motor"] > 0.15
    assert abs(fitted["lottery"]) < 0.15


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(cohort, tmp_path):
    assert simulate(tmp_path / "again", n_subjects=N, seed=5)
    assert files(tmp_path / "again") == files(cohort)
    assert simulate(tmp_path / "again", n_subjects=N, seed=6)  # replaced
    other = files(tmp_path / "again")
    assert other.keys() == files(cohort).keys()
    image = "sub-0001/anat/lh.sulc.mgh"
    assert other[image] != files(cohort)[image]
    assert other["participants.tsv"] != files(cohort)["participants.tsv"]
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_second_call_does_nothing(cohort, monkeypatch):
    def no(*args):
        raise AssertionError("simulated again")

    monkeypatch.setattr(module, "_write_cohort", no)
    assert simulate(cohort, n_subjects=N, seed=5) is False


def test_a_killed_call_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    def killed(folder: Path, n_subjects, seed):
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    def tiny(folder: Path, n_subjects, seed):
        (folder / "whole").write_text("whole")

    target = tmp_path / "simulated"
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_cohort", killed)
        with pytest.raises(KeyboardInterrupt):
            simulate(target, n_subjects=N)
    assert not target.exists()
    monkeypatch.setattr(module, "_write_cohort", tiny)
    assert simulate(target, n_subjects=N)
    assert sorted(path.name for path in target.iterdir()) == [MARKER, "whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["simulated"]


def test_a_folder_of_the_users_own_is_never_replaced(tmp_path):
    (tmp_path / "simulated").mkdir()
    (tmp_path / "simulated" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"simulated: exists and is no simulated cohort"):
        simulate(tmp_path / "simulated", n_subjects=N)
    assert (tmp_path / "simulated" / "thesis.txt").read_text() == "years of work"


def test_too_few_subjects_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"at least 20 subjects .* got 19"):
        simulate(tmp_path / "x", n_subjects=19)


def test_the_demonstration_asks_for_what_is_simulated(cohort, table):
    study = read_study(Path(__file__).parents[1] / "studies" / "demo.toml")
    assert study.simulated
    assert set(study.targets) == {*(trait.name for trait in TRAITS), "sex"}
    assert {study.phenotypes.group, study.phenotypes.site, *study.phenotypes.confounds} <= set(table.columns)
    for name, target in study.targets.items():
        assert target.positive is None or target.positive in set(table[name])
    bad = set(damaged(cohort).values())
    healthy = next(subject for subject in table.participant_id if subject not in bad)
    for pattern in study.images.maps.values():
        for hemi, hemi_fs in (("L", "lh"), ("R", "rh")):
            assert (cohort / pattern.format(participant_id=healthy, hemi=hemi, hemi_fs=hemi_fs)).is_file()
