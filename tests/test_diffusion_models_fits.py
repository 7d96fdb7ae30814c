"""Free water and spherical deconvolution against DIPY's own loops; the same bits in any chunk; odd voxels."""

from pathlib import Path

import numpy as np
import pytest
from diffusion_signals import assert_same, decay, measured, noisy, sphere, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import StudyError
from cortax.workloads.diffusion.models.fit import Status, join
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.models.harmonics import basis_of
from cortax.workloads.diffusion.models.making import make_model
from cortax.workloads.diffusion.models.maps import N_PEAKS, compute_map
from cortax.workloads.diffusion.models.response import Response

dipy = pytest.importorskip("dipy")

TWO_SHELLS = measured(500, 1500, n=20)
ONE_SHELL = measured(3000, n=60)
RESPONSE = Response((1.7e-3, 0.3e-3, 0.3e-3), 1000.0)
MODELS = {"fwdti": (TWO_SHELLS, None), "csd": (ONE_SHELL, RESPONSE)}


def model_of(kind, **options):
    gradients, response = MODELS[kind]
    return make_model(kind, options, gradients, response=response)


def watery(n, sd=20.0, seed=0):
    """Signals of tissue and water, and the fraction of water."""
    f = np.random.default_rng(seed).uniform(0, 0.8, n)
    tissue, water = decay(TWO_SHELLS, tensors(n)), np.exp(-TWO_SHELLS.bvals * 3e-3)
    return noisy(1000 * ((1 - f[:, None]) * tissue + f[:, None] * water), sd), f


def crossing(n, degrees=70.0, sd=15.0):
    """Signals of two bundles at an angle in the plane of x and y, the first along x."""
    angle = np.deg2rad(degrees)
    ways = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]])
    bundles = 0.3e-3 * np.eye(3) + 1.4e-3 * np.einsum("ni,nj->nij", ways, ways)
    return noisy(np.tile(1000 * decay(ONE_SHELL, bundles).mean(axis=0), (n, 1)), sd)


def signals_of(kind, n):
    return watery(n)[0] if kind == "fwdti" else crossing(n)


def minimum_of_dipy(signal, monkeypatch):
    """The sum of squares at which DIPY's descent ends, and its fraction of water."""
    from dipy.reconst import fwdti

    ends, solve = [], fwdti.opt.leastsq

    def spy(function, start, args=(), **more):
        found = solve(function, start, args=args, **more)
        ends.append(np.sum(function(found[0], *args) ** 2))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(fwdti.opt, "leastsq", spy)
        f = fwdti.FreeWaterTensorModel(TWO_SHELLS.table()).fit(signal).f
    return ends[-1], f


def test_no_voxel_has_a_higher_minimum_than_in_dipy(monkeypatch):
    signals, f = watery(40)
    # Without water the fraction is at its bound, where DIPY's descent crawls.
    signals[30:] = noisy(1000 * decay(TWO_SHELLS, tensors(10)), 20)
    fit = model_of("fwdti").fit(signals)
    ends = np.array([minimum_of_dipy(signal, monkeypatch) for signal in signals])
    assert (fit.sse <= ends[:, 0] * (1 + 1e-9)).all()
    same = fit.sse >= ends[:, 0] * (1 - 1e-9)
    assert same.mean() > 0.5
    np.testing.assert_allclose(fit.parameters[same, 7], ends[same, 1], atol=1e-4)
    assert (fit.parameters[:, 7] == 0).any()
    assert np.abs(fit.parameters[:30, 7] - f[:30]).mean() < 0.1


def test_free_water_is_recovered_without_noise():
    signals, f = watery(30, sd=0.0)
    fit = model_of("fwdti").fit(signals)
    np.testing.assert_allclose(fit.parameters[:, 7], f, atol=1e-5)
    np.testing.assert_allclose(fit.parameters[:, 6], 1000, rtol=1e-5)
    assert (compute_map("f", "fwdti", fit, gradients=TWO_SHELLS)[:, 0] == fit.parameters[:, 7]).all()


def test_the_grid_is_dipys():
    signals, _ = watery(30)
    own = model_of("fwdti", method="wls").fit(signals)
    theirs = make_model("fwdti", {"method": "wls"}, TWO_SHELLS, solver="dipy").fit(signals)
    np.testing.assert_allclose(own.parameters[:, 6:], theirs.parameters[:, 6:], rtol=1e-12)
    for name in ("fa", "md"):
        found = [compute_map(name, "fwdti", fit, gradients=TWO_SHELLS) for fit in (own, theirs)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-12)


def test_water_alone_and_sums_of_squares():
    signals = np.vstack([1000 * np.exp(-TWO_SHELLS.bvals * 3e-3), watery(3)[0]])
    for method in ("wls", "nls"):
        model = model_of("fwdti", method=method)
        fit = model.fit(signals)
        assert fit.status[0] == Status.PURE_WATER
        np.testing.assert_array_equal(fit.parameters[0, [0, 5, 7]], [0, 0, 1])
        residuals = signals - model.predict(fit.parameters)
        np.testing.assert_allclose((residuals**2).sum(axis=1), fit.sse, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sh_order", [4, 8])
def test_deconvolution_is_dipys(sh_order):
    signals = np.vstack([crossing(10), noisy(1000 * decay(ONE_SHELL, tensors(20)), 20)])
    signals[3, 2] = -5.0
    own, theirs = (
        make_model("csd", {"sh_order": sh_order}, ONE_SHELL, response=RESPONSE, solver=solver).fit(signals)
        for solver in ("cortax", "dipy")
    )
    largest = np.abs(theirs.parameters).max(axis=1)
    assert (np.abs(own.parameters - theirs.parameters).max(axis=1) < 1e-10 * largest).all()
    np.testing.assert_array_equal(own.status, theirs.status)
    np.testing.assert_allclose(own.sse, theirs.sse, rtol=1e-9)
    assert own.iterations.max() > 1


def test_peaks_are_dipys_and_cross_at_the_angle():
    from dipy.data import default_sphere
    from dipy.direction import peaks_from_model
    from dipy.reconst.csdeconv import ConstrainedSphericalDeconvModel

    signals = crossing(6)
    signals[4, 0] = np.nan
    fit = model_of("csd").fit(signals)
    maps = {name: compute_map(name, "csd", fit, gradients=ONE_SHELL) for name in ("peaks", "peak_values", "gfa")}
    with pytest.warns(PendingDeprecationWarning):
        theirs = peaks_from_model(
            ConstrainedSphericalDeconvModel(ONE_SHELL.table(), (np.array(RESPONSE.evals), RESPONSE.s0)),
            np.delete(signals, 4, axis=0),
            default_sphere,
            relative_peak_threshold=0.5,
            min_separation_angle=25,
            npeaks=N_PEAKS,
            sh_order_max=8,
        )
    there = np.delete(maps["peaks"].reshape(6, N_PEAKS, 3), 4, axis=0)
    np.testing.assert_allclose(np.nan_to_num(there), theirs.peak_dirs, atol=1e-12)
    np.testing.assert_allclose(np.nan_to_num(np.delete(maps["peak_values"], 4, axis=0)), theirs.peak_values, rtol=1e-9)
    np.testing.assert_allclose(np.delete(maps["gfa"], 4, axis=0)[:, 0], theirs.gfa, rtol=1e-9)
    assert all(np.isnan(values[4]).all() for values in maps.values())
    angles = np.rad2deg(np.arccos(np.abs((there[:, 0] * there[:, 1]).sum(axis=1))))
    assert np.abs(angles - 70).max() < 8


def test_coefficients_in_the_basis_of_mrtrix():
    from dipy.reconst.shm import real_sh_tournier

    fit = model_of("csd").fit(crossing(2))
    directions = sphere(20)
    around, down = np.arctan2(directions[:, 1], directions[:, 0]), np.arccos(directions[:, 2])
    amplitudes = compute_map("sh", "csd", fit, gradients=ONE_SHELL) @ basis_of(directions, 45).T
    other = (
        compute_map("sh_mrtrix", "csd", fit, gradients=ONE_SHELL) @ real_sh_tournier(8, down, around, legacy=False)[0].T
    )
    np.testing.assert_allclose(other, amplitudes, rtol=1e-9)


@pytest.mark.parametrize("kind", sorted(MODELS))
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(8)), cuts=st.lists(st.integers(0, 8), max_size=4))
def test_a_voxel_has_the_same_bits_in_any_order_and_chunk(kind, order, cuts):
    signals = signals_of(kind, 8)
    signals[2, 0], signals[5], signals[7, 3] = np.nan, 0.0, -1.0
    model = model_of(kind)
    whole = model.fit(signals)
    shuffled = model.fit(signals[order])
    assert_same(join([model.fit(part) for part in np.split(signals[order], sorted(cuts))]), shuffled)
    for name in ("parameters", "sse", "iterations", "status"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(whole, name)[order])


FILES = Path(dipy.__file__).parent / "data" / "files"


@pytest.mark.parametrize(("kind", "name"), [("dti", "small_64D"), ("fwdti", "small_101D"), ("csd", "small_64D")])
def test_odd_voxels_of_a_real_volume_change_no_other(kind, name):
    nib = pytest.importorskip("nibabel")
    bvals, bvecs = np.loadtxt(FILES / f"{name}.bval"), np.loadtxt(FILES / f"{name}.bvec")
    bvecs = bvecs.T if len(bvecs) == 3 else bvecs
    norms = np.linalg.norm(bvecs, axis=1, keepdims=True)
    gradients = Gradients(bvals, np.divide(bvecs, norms, out=np.zeros_like(bvecs), where=norms > 0))
    volume = np.asarray(nib.load(next(FILES.glob(f"{name}.nii*"))).dataobj, dtype=np.float64)
    signals = volume.reshape(-1, len(bvals))[200:300]
    model = make_model(kind, {}, gradients, response=Response((1.5e-3, 0.3e-3, 0.3e-3), 190.0))
    plain = model.fit(signals)
    odd = signals.copy()
    odd[10, 3], odd[20, 7], odd[30], odd[40, 5:9] = np.nan, -np.inf, 0.0, -3.0
    fit = model.fit(odd)
    assert list(fit.status[[10, 20, 30]]) == [Status.NOT_FINITE, Status.NOT_FINITE, Status.NO_B0]
    assert np.isnan(fit.parameters[[10, 20, 30]]).all()
    assert np.isfinite(fit.parameters[40]).all()
    assert fit.status[40] == (Status.FITTED if kind == "csd" else Status.CLIPPED)
    others = np.delete(np.arange(100), [10, 20, 30, 40])
    for array in ("parameters", "sse", "iterations", "status"):
        np.testing.assert_array_equal(getattr(fit, array)[others], getattr(plain, array)[others])
    assert set(plain.status[others]) == {Status.FITTED}


@pytest.mark.parametrize(("kind", "name"), [("csd", "gfa"), ("csd", "peaks"), ("fwdti", "fa"), ("fwdti", "v1")])
def test_a_map_has_the_same_bits_alone(kind, name):
    signals, gradients = signals_of(kind, 9), MODELS[kind][0]
    model = model_of(kind)
    whole = compute_map(name, kind, model.fit(signals), gradients=gradients)
    for start, stop in ((0, 1), (1, 9), (4, 5)):
        part = compute_map(name, kind, model.fit(signals[start:stop]), gradients=gradients)
        np.testing.assert_array_equal(part, whole[start:stop])
    fit = model.fit(signals)
    predicted = model.predict(fit.parameters)
    np.testing.assert_array_equal(model.predict(fit.parameters[2:4]), predicted[2:4])


def test_a_deconvolution_needs_a_response():
    with pytest.raises(StudyError, match="csd: a response is needed"):
        make_model("csd", {}, ONE_SHELL)


def test_any_model_of_dipy_by_name():
    signals, _ = watery(3)
    signals[1, 1] = np.nan
    options = {"name": "dki.DiffusionKurtosisModel", "outputs": ["fa", "mk", "evals"]}
    model = make_model("dipy", options, TWO_SHELLS)
    assert model.names == ("fa", "mk", "evals_0", "evals_1", "evals_2")
    fit = model.fit(signals)
    assert list(fit.status) == [Status.FITTED, Status.NOT_FINITE, Status.FITTED]
    from dipy.reconst.dki import DiffusionKurtosisModel

    theirs = DiffusionKurtosisModel(TWO_SHELLS.table()).fit(signals[2])
    np.testing.assert_allclose(fit.parameters[2], [theirs.fa, theirs.mk(), *theirs.evals])
    assert model.predict(fit.parameters) is None
    assert np.isnan(fit.sse).all()
    usual = make_model("dipy", {"name": "dti.TensorModel"}, ONE_SHELL)
    assert usual.names[:2] == ("model_params_0", "model_params_1")


def test_a_voxel_for_which_dipy_raises_gets_a_status(monkeypatch):
    from dipy.reconst.dti import TensorModel

    model, fit = make_model("dipy", {"name": "dti.TensorModel"}, ONE_SHELL), TensorModel.fit

    def fail(self, data, **more):
        if data[0] > 5000:
            raise np.linalg.LinAlgError("SVD did not converge")
        return fit(self, data, **more)

    monkeypatch.setattr(TensorModel, "fit", fail)
    signals = crossing(3)
    signals[1, 0] = 6000.0
    found = model.fit(signals)
    assert list(found.status) == [Status.FITTED, Status.FAILED, Status.FITTED]
    assert list(np.isnan(found.parameters).all(axis=1)) == [False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "nothing.Model"}, r"there is no module dipy\.reconst\.nothing; write module and class"),
        ({"name": "dti.TensorModl"}, r"models of dipy\.reconst\.dti: got 'TensorModl'.*did you mean 'TensorModel'"),
        ({"name": "dti.TensorModel", "outputs": ["fb"]}, "outputs of 'dti.TensorModel': got 'fb'"),
        ({"name": "dti.TensorModel", "arguments": {"fit_method": "x"}}, "cannot be made with arguments.*fit_method"),
    ],
)
def test_models_of_dipy_that_cannot_be_made(options, message):
    with pytest.raises(StudyError, match=message):
        make_model("dipy", options, ONE_SHELL)
