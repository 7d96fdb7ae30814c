"""PyTorch: the plain network of the tests and the lanes equal it, and modules of a study train as lanes do.

Skipped where PyTorch is not installed.
"""

import sys

import numpy as np
import plain_lstm
import pytest
from made_windows import SIZE, make_models, make_windows

from cortax.errors import ProjectError, StudyError
from cortax.workloads.sequences import engines
from cortax.workloads.sequences.networks import ModuleNetwork
from cortax.workloads.sequences.tasks import TrainTask
from cortax.workloads.sequences.training import Models, State, TrainingOptions, begin, predict, train

torch = pytest.importorskip("torch", reason="compares with PyTorch, gigabytes that cortax does not need otherwise")

from torch_networks import Gauge  # noqa: E402  (needs PyTorch)

from cortax.workloads.sequences import modules  # noqa: E402

GAUGE = ModuleNetwork("torch_networks:Gauge", SIZE.n_inputs, SIZE.n_outputs, {"hidden": SIZE.n_hidden})
VARIED = ModuleNetwork("torch_networks:Varied", SIZE.n_inputs, SIZE.n_outputs)
SEEDS = (3, 4, 5)


def row_of(parameters):
    """The weights of a model in lanes as `Gauge` holds them."""
    cell, heads = SIZE.split(parameters)
    n = SIZE.n_inputs
    parts = (cell[:n].T, cell[n:-1].T, cell[-1], 0 * cell[-1], heads[:-1].T, heads[-1])
    return np.concatenate([part.ravel() for part in parts])


def as_modules(models):
    return begin(np.array([row_of(parameters) for parameters in models.parameters]), models.weights)


def new_models(network, dtype=np.float32, seeds=SEEDS):
    parameters = np.array([modules.initial_parameters(network, seed) for seed in seeds]).astype(dtype)
    return begin(parameters, np.array([[1.0, 0.5]] * len(seeds)))


def rows(models, chosen):
    return Models(**{name: values[chosen] for name, values in vars(models).items()})


def assert_same(found, expected):
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)


def test_gradients():
    windows, models = make_windows(n_steps=60, n_windows=5), make_models([0.7], [3])
    cell, heads = SIZE.split(models.parameters[0])
    network = Gauge(SIZE.n_inputs, SIZE.n_outputs).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(row_of(models.parameters[0])), network.parameters())
    x, y, observed = (torch.tensor(values) for values in vars(windows).values())
    errors = torch.where(observed, network(x) - y, 0.0)
    loss = torch.tensor(models.weights[0]) @ torch.sqrt((errors**2).sum((0, 1)) / observed.sum((0, 1)))
    loss.backward()
    lstm, linear = network.lstm, network.linear
    expected = (
        torch.cat([lstm.weight_ih_l0.grad.T, lstm.weight_hh_l0.grad.T, lstm.bias_ih_l0.grad[None]]),
        torch.cat([linear.weight.grad.T, linear.bias.grad[None]]),
    )
    _, *found = plain_lstm.loss_and_gradient(windows.x, windows.y, windows.observed, models.weights[0], cell, heads)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("patience", [None, 30])
def test_the_built_in_lstm_and_the_same_module_agree(clip, patience):
    windows, valid = make_windows(n_steps=60, n_windows=5), make_windows(n_steps=60, n_windows=3, seed=1)
    windows.observed[:, :2, 1] = False  # of one batch, the second target is not there at all
    models = make_models([0.0, 0.7], [3, 4])
    options = TrainingOptions(epochs=20, rate=0.01, batch=2, clip=clip, patience=patience)
    lanes, curves = train(models, SIZE, windows, valid, options)
    found, other = modules.train(as_modules(models), GAUGE, windows, valid, options, SEEDS[:2])
    np.testing.assert_allclose(other.train, curves.train, rtol=1e-10)
    np.testing.assert_allclose(other.validation, curves.validation, rtol=1e-10)
    expected = np.array([row_of(parameters) for parameters in lanes.best])
    np.testing.assert_allclose(found.best, expected, rtol=0, atol=1e-9)
    for name in ("epochs", "steps", "best_epoch", "state"):
        np.testing.assert_array_equal(getattr(found, name), getattr(lanes, name))
    np.testing.assert_allclose(
        modules.predict(found.best, GAUGE, valid.x, 2), predict(lanes.best, SIZE, valid.x, 2), rtol=0, atol=1e-9
    )
    assert curves.train[1, -1] < 0.9 * curves.train[1, 0]


@pytest.mark.parametrize("network", [GAUGE, VARIED])
def test_epochs_after_epochs_are_all_of_them_and_company_does_not_matter(network):
    windows, valid = make_windows(dtype=np.float32), make_windows(dtype=np.float32, seed=1)

    def trained(models, epochs, seeds=SEEDS):
        options = TrainingOptions(epochs=epochs, rate=0.05, batch=3, clip=1.0, patience=3)
        return modules.train(models, network, windows, valid, options, seeds)

    models = new_models(network)
    whole, curves = trained(models, 12)
    first, first_curves = trained(models, 5)
    second, second_curves = trained(first, 7)
    assert_same(second, whole)
    np.testing.assert_array_equal(np.hstack([first_curves.train, second_curves.train]), curves.train)
    alone, _ = trained(rows(models, [1]), 12, SEEDS[1:2])
    assert_same(alone, rows(whole, [1]))
    assert State.DIVERGED not in whole.state
    assert np.isfinite(modules.predict(whole.best, network, valid.x, 2)).all()


def test_what_is_random_follows_the_seed_and_nothing_else():
    windows = make_windows(dtype=np.float32)
    models = new_models(VARIED, seeds=(3, 3, 4))
    assert not np.array_equal(models.parameters[0], models.parameters[2])
    options = TrainingOptions(epochs=2, rate=0.01)
    torch.manual_seed(0)
    found, _ = modules.train(models, VARIED, windows, None, options, (3, 3, 4))
    after = torch.rand(1)
    np.testing.assert_array_equal(found.parameters[0], found.parameters[1])
    torch.manual_seed(0)
    assert torch.rand(1) == after  # nobody else's random numbers have changed


def test_a_model_that_diverges_is_told_and_changes_no_other():
    windows, models = make_windows(dtype=np.float32), new_models(GAUGE)
    options = TrainingOptions(epochs=3, rate=0.01)
    expected, _ = modules.train(models, GAUGE, windows, None, options, SEEDS)
    models.parameters[1, 0] = np.nan
    found, curves = modules.train(models, GAUGE, windows, None, options, SEEDS)
    assert found.state.tolist() == [State.TRAINING, State.DIVERGED, State.TRAINING]
    assert_same(rows(found, [0, 2]), rows(expected, [0, 2]))
    assert np.isnan(curves.train[1]).all()
    assert np.isnan(modules.predict(found.best, GAUGE, windows.x, 2)[1]).all()


def test_what_is_missing_changes_nothing():
    windows, models = make_windows(dtype=np.float32), new_models(GAUGE)
    other = type(windows)(windows.x, np.where(windows.observed, windows.y, np.nan).astype(np.float32), windows.observed)
    options = TrainingOptions(epochs=3)
    found = [modules.train(models, GAUGE, part, None, options, SEEDS)[0] for part in (windows, other)]
    assert_same(*found)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("OneTarget", {}, r"must be of shape \(9, 1, 2\) \(days, windows, targets\)\. Got \(9, 1, 1\) instead"),
        ("Squeezed", {}, r"must be of shape \(9, 1, 2\).*Got \(9, 2\) instead"),
        ("Tuple", {}, "Got tuple instead"),
        ("Failing", {}, r"fails with inputs of shape \(9, 1, 3\) \(days, windows, inputs\): RuntimeError"),
        ("Constant", {}, "has no parameters to train"),
        ("not_a_module", {}, r"must be a torch\.nn\.Module\. Got int instead"),
        ("Guage", {}, "is not 'package.file:Class' that can be imported"),
        ("Gauge", {"units": 3}, "cannot be made with 3 inputs, 2 outputs and arguments {'units': 3}: TypeError"),
    ],
)
def test_a_module_that_cannot_be_trained_is_refused_before(name, arguments, message):
    network = ModuleNetwork(f"torch_networks:{name}", SIZE.n_inputs, SIZE.n_outputs, arguments)
    with pytest.raises(StudyError, match=f"network.module = 'torch_networks:{name}': .*{message}"):
        engines.prepare(network, 9)
    engines.prepare(GAUGE, 9)


def test_outputs_of_a_wrong_shape_are_refused_in_training_too():
    network = ModuleNetwork("torch_networks:OneTarget", SIZE.n_inputs, SIZE.n_outputs)
    windows, models = make_windows(dtype=np.float32), new_models(network)
    with pytest.raises(StudyError, match="targets"):
        modules.train(models, network, windows, None, TrainingOptions(epochs=1), SEEDS)


def test_a_task_with_a_module_goes_to_another_process_with_its_code(tmp_path, monkeypatch):
    package = tmp_path / "torch_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "networks.py").write_text("from torch_networks import Gauge\n\n\nclass Own(Gauge):\n    pass\n")
    (tmp_path / "accelerator.conf").touch()
    monkeypatch.setenv("CORTAX_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    windows = make_windows(dtype=np.float32)
    made_of = {"kind": "torch", "module": "torch_lab.networks:Own", "arguments": {"hidden": 3}}
    network = engines.network_of(made_of, SIZE.n_inputs, SIZE.n_outputs)
    task = TrainTask(windows, windows, new_models(network), ("a", "b", "c"), SEEDS, made_of, TrainingOptions(epochs=2))
    arrays, about = task.pack()
    for values in arrays.values():
        values.flags.writeable = False
    other = TrainTask.unpack(arrays, about)
    assert [unit.keys for unit in other.units()] == [("a",), ("b",), ("c",)]
    values = {}
    for number, unit in enumerate(task.units()):
        done = task.do(number)
        assert done == other.do(number)
        values.update(zip(unit.keys, done, strict=True))
    models, _ = task.read(values)
    assert models.epochs.tolist() == [2, 2, 2]
    (package / "networks.py").write_text("from torch_networks import Gauge\n\n\nclass Own(Gauge):\n    more = 1\n")
    with pytest.raises(ProjectError, match="edited since the build began"):
        TrainTask.unpack(arrays, about)
