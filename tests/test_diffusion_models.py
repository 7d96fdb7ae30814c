"""Tensors against DIPY, and the same bits in whatever chunk a voxel is fitted."""

import numpy as np
import pytest
from diffusion_signals import assert_same, decay, measured, noisy, sphere, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import InputError, StudyError
from cortax.workloads.diffusion.models.fit import Status, join
from cortax.workloads.diffusion.models.gradients import Gradients, check_model
from cortax.workloads.diffusion.models.making import make_model
from cortax.workloads.diffusion.models.maps import MAPS, compute_map, eigenvalues
from cortax.workloads.diffusion.models.response import auto_response, box

dti = pytest.importorskip("dipy.reconst.dti")


ONE_SHELL = measured(1000)


def simulate(gradients, n):
    return noisy(1000 * decay(gradients, tensors(n)), 20)


@pytest.mark.parametrize("method", ["wls", "ols"])
def test_tensors_are_dipys(method):
    signals = simulate(ONE_SHELL, 200)
    signals[3, 5] = -4.0
    fit = make_model("dti", {"method": method}, ONE_SHELL).fit(signals)
    theirs = dti.TensorModel(ONE_SHELL.table(), fit_method=method.upper(), return_S0_hat=True).fit(signals)
    np.testing.assert_allclose(eigenvalues("dti", fit.parameters, ONE_SHELL), theirs.evals, rtol=1e-10)
    np.testing.assert_allclose(fit.parameters[:, 6], theirs.S0_hat, rtol=1e-10)
    for name in ("fa", "md", "ad", "rd", "color_fa"):
        found = compute_map(name, "dti", fit, gradients=ONE_SHELL)
        np.testing.assert_allclose(found.squeeze(), getattr(theirs, name), rtol=1e-8, atol=1e-12)
    assert fit.status[3] == Status.CLIPPED
    assert set(np.delete(fit.status, 3)) == {Status.FITTED}


def test_the_voxel_loop_of_dipy_finds_the_same():
    signals = simulate(ONE_SHELL, 20)
    signals[4, 7] = np.nan
    own, theirs = (make_model("dti", {}, ONE_SHELL, solver=solver).fit(signals) for solver in ("cortax", "dipy"))
    np.testing.assert_allclose(theirs.parameters, own.parameters, rtol=1e-8, atol=1e-14)
    np.testing.assert_array_equal(theirs.status, own.status)
    np.testing.assert_allclose(theirs.sse, own.sse, rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.lists(st.integers(0, 12), max_size=4))
def test_a_tensor_has_the_same_bits_in_any_order_and_chunk(order, cuts):
    signals = simulate(ONE_SHELL, 12)
    signals[2, 0], signals[5], signals[7, 3] = np.nan, 0.0, -1.0
    model = make_model("dti", {}, ONE_SHELL)
    whole = model.fit(signals)
    assert_same(join([model.fit(part) for part in np.split(signals[order], sorted(cuts))]), model.fit(signals[order]))
    np.testing.assert_array_equal(model.fit(signals[order]).parameters, whole.parameters[order])
    assert list(whole.status[[2, 5, 7]]) == [Status.NOT_FINITE, Status.NO_B0, Status.CLIPPED]


def test_prediction_and_sse_agree():
    signals = simulate(ONE_SHELL, 5)
    signals[1, 1] = np.inf
    model = make_model("dti", {}, ONE_SHELL)
    fit = model.fit(signals)
    residuals = signals - model.predict(fit.parameters)
    np.testing.assert_allclose(np.delete((residuals**2).sum(axis=1), 1), np.delete(fit.sse, 1), rtol=1e-12)
    assert np.isnan(fit.sse[1])
    assert np.isnan(fit.parameters[1]).all()
    assert np.isnan(compute_map("fa", "dti", fit, gradients=ONE_SHELL)[1]).all()


def test_a_response_is_dipys():
    csdeconv = pytest.importorskip("dipy.reconst.csdeconv")
    signals = simulate(ONE_SHELL, 12**3).reshape(12, 12, 12, -1)
    (evals, s0), _ = csdeconv.auto_response_ssst(ONE_SHELL.table(), signals, roi_radii=4, fa_thr=0.6)
    found = auto_response(signals[box((12, 12, 12), radius=4)], ONE_SHELL, fa_threshold=0.6)
    np.testing.assert_allclose(found.evals, evals, rtol=1e-10)
    assert found.s0 == pytest.approx(s0)
    with pytest.raises(
        InputError, match=r"here: none of 1728 voxels has a fractional anisotropy above 1, so none.*highest is 0\.8"
    ):
        auto_response(signals.reshape(1728, -1), ONE_SHELL, fa_threshold=1, where="here")


def test_models_and_maps_that_do_not_exist():
    with pytest.raises(StudyError, match=r"got 'dtl', must be one of .*; did you mean 'dti'"):
        make_model("dtl", {}, ONE_SHELL)
    with pytest.raises(StudyError, match="method: got 'lms'"):
        make_model("dti", {"method": "lms"}, ONE_SHELL)
    fit = make_model("dti", {}, ONE_SHELL).fit(simulate(ONE_SHELL, 1))
    with pytest.raises(StudyError, match="maps of dti: got 'f'"):
        compute_map("f", "dti", fit, gradients=ONE_SHELL)
    assert set(MAPS) >= {"fa", "md", "f", "sse"}


def test_every_status_has_a_sentence():
    assert len({status.sentence for status in Status}) == len(Status)


@pytest.mark.parametrize(
    ("kind", "options", "gradients", "reason"),
    [
        ("dti", {}, Gradients(np.full(6, 1000.0), sphere(6)), "none has a b-value of at most b0_threshold = 50"),
        ("dti", {}, measured(1000, n=5), "these 5 directions determine only 5 of them"),
        ("fwdti", {}, ONE_SHELL, "needs at least two shells besides b0.*found b = 1000"),
        ("csd", {}, measured(1000, 2000), "there are 2: b = 1000, 2000 s/mm2; choose one, such as shell = 2000"),
        ("csd", {"shell": 3000}, measured(1000, 2000), "shell = 3000 is not there"),
        ("csd", {"sh_order": 7}, ONE_SHELL, "must be an even number from 2 on. Got 7"),
        ("csd", {}, ONE_SHELL, "sh_order = 8 has 45 coefficients, and the shell has 32 directions; sh_order = 6 is"),
    ],
)
def test_what_a_model_cannot_be_fitted_to(kind, options, gradients, reason):
    with pytest.raises(StudyError, match=f"^models.m: .*{reason}"):
        check_model(kind, options, gradients, where="models.m")
