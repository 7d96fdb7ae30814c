"""Training of LSTMs in lanes: equal to a plain one, the same bits in any company, and going on where it was."""

import numpy as np
import plain_lstm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_windows import SIZE, make_models, make_windows

from cortax.workloads.sequences.networks import initial_parameters
from cortax.workloads.sequences.training import Models, State, TrainingOptions, Windows, predict, train

FACTORS = [0.0, 0.3, 1.0, 0.0, 0.3, 1.0, 0.0, 0.3, 1.0, 2.0]
SEEDS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def rows(models, chosen):
    return Models(**{name: values[chosen] for name, values in vars(models).items()})


def assert_same(found, expected):
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("factor", [0.0, 0.7])
def test_equal_to_a_plain_network_in_double_precision(clip, factor):
    windows, models = make_windows(n_windows=5), make_models([factor], [3])
    options = TrainingOptions(epochs=20, rate=0.01, batch=2, clip=clip)
    trained, curves = train(models, SIZE, windows, None, options)
    cell, heads = SIZE.split(models.parameters[0])
    losses, parameters = plain_lstm.train(
        windows.x, windows.y, windows.observed, models.weights[0], cell, heads, epochs=20, rate=0.01, batch=2, clip=clip
    )
    np.testing.assert_allclose(curves.train[0], losses, rtol=1e-10)
    np.testing.assert_allclose(trained.parameters[0], parameters, rtol=0, atol=1e-10)
    assert losses[-1] < 0.8 * losses[0]


def test_outputs_are_those_of_a_plain_network():
    windows, models = make_windows(n_steps=30), make_models([0.0, 0.0], [0, 1])
    found = predict(models.parameters, SIZE, windows.x, batch=3)
    for model, parameters in enumerate(models.parameters):
        cell, heads = SIZE.split(parameters)
        for window in range(4):
            expected, _ = plain_lstm.run(windows.x[:, window], cell, heads)
            np.testing.assert_allclose(found[model, :, window], expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(predict(models.parameters, SIZE, windows.x, batch=1), found)


@settings(deadline=None, max_examples=8)
@given(st.permutations(range(10)), st.integers(1, 9))
def test_the_same_bits_in_any_pack_and_any_order(order, cut):
    windows, models = make_windows(dtype=np.float32), make_models(FACTORS, SEEDS, np.float32)
    options = TrainingOptions(epochs=3, rate=0.01, batch=3, clip=1.0, patience=2)
    expected, curves = train(models, SIZE, windows, windows, options)
    for part in (order[:cut], order[cut:]):
        found, part_curves = train(rows(models, part), SIZE, windows, windows, options)
        assert_same(found, rows(expected, part))
        np.testing.assert_array_equal(part_curves.train, curves.train[part])


def test_a_model_that_diverges_is_told_and_changes_no_other():
    windows, models = make_windows(dtype=np.float32), make_models(FACTORS, SEEDS, np.float32)
    options = TrainingOptions(epochs=4, rate=0.01)
    expected, _ = train(models, SIZE, windows, None, options)
    models.parameters[2, 0] = np.nan
    found, curves = train(models, SIZE, windows, None, options)
    others = [row for row in range(10) if row != 2]
    assert_same(rows(found, others), rows(expected, others))
    assert found.state.tolist() == [State.DIVERGED if row == 2 else State.TRAINING for row in range(10)]
    assert found.epochs.tolist() == [1 if row == 2 else 4 for row in range(10)]
    assert np.isnan(found.best[2]).all()
    assert np.isnan(curves.train[2]).all()


def test_a_learning_rate_that_is_too_large_diverges_without_an_exception():
    windows, models = make_windows(dtype=np.float32), make_models([1.0], [0], np.float32)
    found, _ = train(models, SIZE, windows, None, TrainingOptions(epochs=5, rate=1e38))
    assert found.state.tolist() == [State.DIVERGED]


@pytest.mark.parametrize("patience", [None, 3])
def test_epochs_after_epochs_are_all_of_them(patience):
    windows, models = make_windows(dtype=np.float32), make_models(FACTORS, SEEDS, np.float32)
    valid = make_windows(dtype=np.float32, seed=1)

    def trained(models, epochs):
        return train(models, SIZE, windows, valid, TrainingOptions(epochs=epochs, rate=0.05, patience=patience))

    whole, curves = trained(models, 12)
    first, first_curves = trained(models, 5)
    second, second_curves = trained(first, 7)
    assert_same(second, whole)
    np.testing.assert_array_equal(np.hstack([first_curves.train, second_curves.train]), curves.train)
    if patience:
        assert State.STOPPED in whole.state


def test_a_model_stops_where_validation_gets_no_better_and_has_the_weights_of_its_best_epoch():
    windows, models = make_windows(), make_models(FACTORS, SEEDS)
    valid = make_windows(seed=5)
    found, curves = train(models, SIZE, windows, valid, TrainingOptions(epochs=60, rate=0.05, patience=4))
    stopped = np.flatnonzero(found.state == State.STOPPED)
    assert len(stopped)
    for row in stopped:
        losses = curves.validation[row, : found.epochs[row]]
        assert found.best_epoch[row] == np.argmin(losses) + 1
        assert found.epochs[row] == found.best_epoch[row] + 4
        assert np.isnan(curves.train[row, found.epochs[row] :]).all()
        outputs = predict(found.best[[row]], SIZE, valid.x, batch=4)[0, ..., 0]
        errors = (outputs - valid.y[..., 0])[valid.observed[..., 0]]
        np.testing.assert_allclose(np.sqrt(np.mean(errors**2)), found.best_loss[row], rtol=1e-12)
        np.testing.assert_allclose(found.best_loss[row], losses.min(), rtol=0)


def test_what_is_missing_changes_nothing():
    windows, models = make_windows(dtype=np.float32), make_models(FACTORS, SEEDS, np.float32)
    other = Windows(windows.x, np.where(windows.observed, windows.y, np.nan).astype(np.float32), windows.observed)
    options = TrainingOptions(epochs=3)
    assert_same(train(models, SIZE, other, None, options)[0], train(models, SIZE, windows, None, options)[0])


def test_a_target_without_any_observation_in_a_batch_adds_nothing():
    windows, models = make_windows(missing=0.0), make_models([1.0], [0])
    windows.observed[..., 1] = False
    alone, curves = train(models, SIZE, windows, None, TrainingOptions(epochs=3))
    single, single_curves = train(make_models([0.0], [0]), SIZE, windows, None, TrainingOptions(epochs=3))
    np.testing.assert_array_equal(alone.parameters, single.parameters)
    np.testing.assert_array_equal(curves.train, single_curves.train)


def test_a_seed_means_the_same_weights_and_another_one_others():
    assert SIZE.n_parameters == 9 * 20 + 6 * 2
    first = initial_parameters(SIZE, 6)
    np.testing.assert_array_equal(first, initial_parameters(SIZE, 6))
    assert not np.intersect1d(first, initial_parameters(SIZE, 7)).size
    assert np.abs(first).max() < SIZE.n_hidden**-0.5
