"""Votes of decoders in every bin: of the fold that tests a trial in one phase, of all folds in another."""

import numpy as np
import pytest
from test_decoding_bins import RIDGE, SVM, continuous_folds, folds_of, made, made_continuous
from threadpoolctl import threadpool_limits

from cortax.store import pack, split
from cortax.workloads.decoding.bins import fit_bin
from cortax.workloads.decoding.described import Described
from cortax.workloads.decoding.generalising import GeneraliseTask
from cortax.workloads.decoding.linear import vote
from cortax.workloads.decoding.plain import refit
from cortax.workloads.decoding.training import DecodeTask


def bins_of(seed, n_classes=3):
    X, y = made(n_classes, 36, 30, effect=1.5, seed=seed)
    return np.stack([X, X[:, ::-1] + 0.1]).astype(np.float32), y


def tasks(same):
    trained, y = bins_of(0)
    tested = trained if same else bins_of(1)[0]
    folds = folds_of(y)
    fits = [fit_bin(X.astype(np.float64), y, folds, SVM) for X in trained]
    arrays = [np.array([getattr(fit, name) for fit in fits]) for name in ("weights", "intercepts", "chosen")]
    task = GeneraliseTask(arrays[0], arrays[1], tested, trained, y, arrays[2], folds, SVM, same)
    return task, fits, folds


def values_of(task):
    return {unit.keys[0]: task.do(number)[0] for number, unit in enumerate(task.units())}


@pytest.mark.parametrize("same", [False, True])
def test_votes_are_counted_over_the_models_that_may_be_asked(same):
    with threadpool_limits(1):
        task, fits, folds = tasks(same)
        votes, decisions = task.read(values_of(task))
        plain = GeneraliseTask(**{**task.__dict__, "options": SVM.__class__(**{**SVM.__dict__, "plain": True})})
        plain_votes, plain_decisions = plain.read(values_of(plain))
    assert votes.shape == (2, 2, 36, 3)
    for trained, tested in np.ndindex(2, 2):
        X = task.tested[tested].astype(np.float64)
        found = np.einsum("np,pfo->nfo", X, fits[trained].weights) + fits[trained].intercepts
        own = [[int(np.flatnonzero(folds.test[:, trial])[0])] for trial in range(36)]
        asked = own if same else [range(4)] * 36
        for trial, models in enumerate(asked):
            said = vote(found[trial, list(models)])
            assert np.array_equal(votes[trained, tested, trial], np.bincount(said, minlength=3))
            expected = found[trial, list(models)].mean(axis=0)
            assert np.allclose(decisions[trained, tested, trial], expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(plain_votes, votes)
    assert np.allclose(plain_decisions, decisions, rtol=1e-3, atol=1e-4)
    said = task.votes(values_of(task), ("a", "b", "c"), Described((), (), (), (), 1, ()))
    assert said.n_models == (1 if same else 4)
    assert (said.votes.sum(axis=-1) == said.n_models).all()


@pytest.mark.parametrize("same", [False, True])
def test_predictions_of_continuous_labels_are_means_over_the_models_that_may_be_asked(same):
    X, y = made_continuous()
    trained = np.stack([X, 2 * X]).astype(np.float32)
    tested = trained if same else np.stack([made_continuous(seed=2)[0], X + 0.1]).astype(np.float32)
    folds = continuous_folds(y)
    with threadpool_limits(1):
        fits = [fit_bin(part.astype(np.float64), y, folds, RIDGE) for part in trained]
        arrays = [np.array([getattr(fit, name) for fit in fits]) for name in ("weights", "intercepts", "chosen")]
        task = GeneraliseTask(arrays[0], arrays[1], tested, trained, y, arrays[2], folds, RIDGE, same)
        votes, predictions = task.read(values_of(task))
        assert values_of(GeneraliseTask.unpack(*task.pack())) == values_of(task)
        decode = DecodeTask(trained, y, folds, RIDGE, "here")
        assert values_of(DecodeTask.unpack(*decode.pack())) == values_of(decode)
    assert votes.shape == (2, 2, 48, 0)
    assert predictions.dtype == np.float64
    for a, b in np.ndindex(2, 2):
        models = [
            refit(trained[a].astype(float)[~test], y[~test], RIDGE, RIDGE.configs[config])[0]
            for test, config in zip(folds.test, fits[a].chosen, strict=True)
        ]
        found = np.array([model.predict(tested[b].astype(float)) for model in models])
        expected = found[folds.test.argmax(axis=0), np.arange(48)] if same else found.mean(axis=0)
        assert np.allclose(predictions[a, b, :, 0], expected, rtol=1e-8)


def test_tasks_come_back_as_they_were_packed():
    with threadpool_limits(1):
        task, _, folds = tasks(False)
        again = GeneraliseTask.unpack(*task.pack())
        assert values_of(again) == values_of(task)
        decode = DecodeTask(task.trained, task.y, folds, SVM, "here")
        other = DecodeTask.unpack(*decode.pack())
        assert values_of(other) == values_of(decode)
        fits = decode.read(values_of(decode))
    assert pack(*split(fits[1])) == pack(*split(other.read(values_of(other))[1]))


def test_a_model_fitted_again_is_the_one_that_was_chosen():
    X, y = made(2)
    first, n_first = refit(X, y, SVM, 0.01)
    again, n_again = refit(X, y, SVM, 0.01)
    assert n_first == n_again > 0
    assert np.array_equal(first.decision_function(X), again.decision_function(X))
