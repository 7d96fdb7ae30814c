"""The passes of LSTMs, a model a lane: outputs of windows of time, gradients, and steps of Adam. Compiled.

At time t, with inputs x_t and all weights of a model in one matrix W of rows i, f, g, o (of `n_hidden` each) and
columns x, h, 1,

    (i, f, g, o) = (logistic, logistic, tanh, logistic) of W [x_t, h_(t-1), 1]
    c_t = f c_(t-1) + i g,    h_t = o tanh c_t,    outputs_t = V [h_t, 1]

(Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; PyTorch's `nn.LSTM` with one bias). A window
begins with h = c = 0. Every function does for each lane the same operations in the same order: nothing here adds up
numbers of several lanes, and nothing calls BLAS.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from cortax.lanes.activations import hyperbolic_tangent, logistic
from cortax.lanes.batched import LANES, add_products, multiply_add
from cortax.learning.search.compiled import compiled

__all__ = [
    "Work",
    "adam_step",
    "backward",
    "forward",
    "make_work",
    "output_gradients",
    "squared_errors",
    "squared_norms",
]

# Steps of time whose gradients are added up at once: they are to stay in the processor's cache.
_CHUNK = 8


class Work(NamedTuple):
    """Memory of one forward and backward pass over windows of time.

    Arrays of shape (n_steps, n_windows, what, LANES), where `what` is, of `inputs` (and of one step more): what W is
    multiplied with, x, h of the step before, 1; of `gates`: i, f, g, o, and after a backward pass the gradients of what
    goes into them; of `states` (and of one step more): c of the step before; of `squashed`: tanh c; of `outputs` and
    `d_outputs`: outputs and their gradients. `d_hidden` and `d_state`, (n_windows, n_hidden, LANES): gradients of h and
    c of one step. `recurrent`, (4 n_hidden, n_hidden, LANES), and `readout`, (n_outputs, n_hidden, LANES): the weights
    of h, rows and columns exchanged.
    """

    inputs: npt.NDArray[Any]
    gates: npt.NDArray[Any]
    states: npt.NDArray[Any]
    squashed: npt.NDArray[Any]
    outputs: npt.NDArray[Any]
    d_outputs: npt.NDArray[Any]
    d_hidden: npt.NDArray[Any]
    d_state: npt.NDArray[Any]
    recurrent: npt.NDArray[Any]
    readout: npt.NDArray[Any]


def make_work(shape: tuple[int, int, int], n_hidden: int, n_outputs: int, dtype: Any) -> Work:
    """Return memory for windows of shape (n_steps, n_windows, n_inputs)."""
    n_steps, n_windows, n_inputs = shape

    def zeros(*shape: int) -> npt.NDArray[Any]:
        return np.zeros((*shape, LANES), dtype)

    work = Work(
        inputs=zeros(n_steps + 1, n_windows, n_inputs + n_hidden + 1),
        gates=zeros(n_steps, n_windows, 4 * n_hidden),
        states=zeros(n_steps + 1, n_windows, n_hidden),
        squashed=zeros(n_steps, n_windows, n_hidden),
        outputs=zeros(n_steps, n_windows, n_outputs),
        d_outputs=zeros(n_steps, n_windows, n_outputs),
        d_hidden=zeros(n_windows, n_hidden),
        d_state=zeros(n_windows, n_hidden),
        recurrent=zeros(4 * n_hidden, n_hidden),
        readout=zeros(n_outputs, n_hidden),
    )
    # What is multiplied with the bias. No pass writes to it, nor to the zeros of h and c that a window begins with.
    work.inputs[:, :, -1] = 1
    return work


@compiled(__name__)
def _activate(gates: Any, before: Any, after: Any, squashed: Any, hidden: Any) -> None:
    """Gates of shape (4 n,) of one window to activated gates; c (`after`), tanh c and h, each of shape (n,)."""
    n = len(before)
    half = gates.dtype.type(0.5)
    for e in range(n):
        i = logistic(gates[e], half)
        f = logistic(gates[n + e], half)
        g = hyperbolic_tangent(gates[2 * n + e])
        o = logistic(gates[3 * n + e], half)
        c = multiply_add(f, before[e], i * g)
        s = hyperbolic_tangent(c)
        gates[e] = i
        gates[n + e] = f
        gates[2 * n + e] = g
        gates[3 * n + e] = o
        after[e] = c
        squashed[e] = s
        hidden[e] = o * s


@compiled(__name__)
def forward(x: Any, cell: Any, heads: Any, work: Work) -> None:
    """Run all windows; `work` then has gates, states and outputs.

    Parameters
    ----------
    x : array of shape (n_steps, n_windows, n_inputs)
        The same for all lanes.
    cell : array of shape (n_inputs + n_hidden + 1, 4 n_hidden, LANES)
        W, turned.
    heads : array of shape (n_hidden + 1, n_outputs, LANES)
        V, turned.
    work : Work
    """
    n_steps, n_windows, n_inputs = x.shape
    n_hidden = work.states.shape[2]
    n, first = n_hidden * LANES, n_inputs * LANES
    for t in range(n_steps):
        for b in range(n_windows):
            for k in range(n_inputs):
                for lane in range(LANES):
                    work.inputs[t, b, k, lane] = x[t, b, k]
    work.gates.fill(0)
    work.outputs.fill(0)
    inputs = work.inputs.reshape(n_steps + 1, n_windows, -1)
    gates = work.gates.reshape(n_steps, n_windows, -1)
    states = work.states.reshape(n_steps + 1, n_windows, n)
    squashed = work.squashed.reshape(n_steps, n_windows, n)
    for t in range(n_steps):
        add_products(cell, _turned(work.inputs[t]), _turned(work.gates[t]))
        for b in range(n_windows):
            hidden = inputs[t + 1, b, first : first + n]
            _activate(gates[t, b], states[t, b], states[t + 1, b], squashed[t, b], hidden)
        add_products(heads, _turned(work.inputs[t + 1])[n_inputs:], _turned(work.outputs[t]))


@register_jitable
def _turned(matrix: Any) -> Any:
    """Return a matrix of lanes with rows and columns exchanged, a view."""
    return matrix.transpose(1, 0, 2)


@compiled(__name__)
def _turn(matrix: Any, turned: Any) -> None:
    """Write the first rows of a matrix of lanes, all but the bias, as columns."""
    for column in range(turned.shape[0]):
        for row in range(turned.shape[1]):
            for lane in range(LANES):
                turned[column, row, lane] = matrix[row, column, lane]


@compiled(__name__)
def _gate_gradients(gates: Any, before: Any, squashed: Any, d_hidden: Any, d_state: Any) -> None:
    """Turn gates of one window into gradients of what went into them, and the gradient of c into that of c before."""
    n = len(before)
    one = gates.dtype.type(1)
    for e in range(n):
        i, f, g, o = gates[e], gates[n + e], gates[2 * n + e], gates[3 * n + e]
        s, d_h = squashed[e], d_hidden[e]
        d_c = multiply_add(d_h * o, one - s * s, d_state[e])
        gates[e] = d_c * g * i * (one - i)
        gates[n + e] = d_c * before[e] * f * (one - f)
        gates[2 * n + e] = d_c * i * (one - g * g)
        gates[3 * n + e] = d_h * s * o * (one - o)
        d_state[e] = d_c * f


@compiled(__name__)
def backward(cell: Any, heads: Any, work: Work, d_cell: Any, d_heads: Any) -> None:
    """Write the gradients of all weights, of the outputs' gradients that `work` has, after `forward` on the same.

    `d_cell`, `d_heads`: of the shapes of `cell` and `heads`; written over. The gates are lost.
    """
    n_steps, n_windows, n_hidden = work.squashed.shape[:3]
    n_columns, n = cell.shape[0], n_hidden * LANES
    n_inputs = n_columns - n_hidden - 1
    gates = work.gates.reshape(n_steps, n_windows, -1)
    states = work.states.reshape(n_steps + 1, n_windows, n)
    squashed = work.squashed.reshape(n_steps, n_windows, n)
    d_hidden, d_state = work.d_hidden.reshape(n_windows, n), work.d_state.reshape(n_windows, n)
    _turn(cell[n_inputs:], work.recurrent)
    _turn(heads, work.readout)
    d_cell.fill(0)
    d_heads.fill(0)
    work.d_hidden.fill(0)
    work.d_state.fill(0)
    end = n_steps
    for t in range(n_steps - 1, -1, -1):
        add_products(work.readout, _turned(work.d_outputs[t]), _turned(work.d_hidden))
        for b in range(n_windows):
            _gate_gradients(gates[t, b], states[t, b], squashed[t, b], d_hidden[b], d_state[b])
        work.d_hidden.fill(0)
        add_products(work.recurrent, _turned(work.gates[t]), _turned(work.d_hidden))
        if t % _CHUNK == 0:
            terms = work.inputs[t:end].reshape(-1, n_columns, LANES)
            add_products(work.gates[t:end].reshape(-1, 4 * n_hidden, LANES), terms, _turned(d_cell))
            end = t
    hidden = work.inputs[1:].reshape(-1, n_columns, LANES)[:, n_inputs:]
    add_products(work.d_outputs.reshape(-1, heads.shape[1], LANES), hidden, _turned(d_heads))


@compiled(__name__)
def squared_errors(outputs: Any, y: Any, observed: Any, total: Any) -> None:
    """Add the squared errors of observed targets to `total`, float64 of shape (n_outputs, LANES).

    `outputs` (n_steps, n_windows, n_outputs, LANES); `y`, `observed` (n_steps, n_windows, n_outputs).
    """
    n_steps, n_windows, n_outputs = y.shape
    for t in range(n_steps):
        for b in range(n_windows):
            for k in range(n_outputs):
                if observed[t, b, k]:
                    for lane in range(LANES):
                        error = outputs[t, b, k, lane] - y[t, b, k]
                        total[k, lane] += error * error


@compiled(__name__)
def output_gradients(work: Work, y: Any, observed: Any, scale: Any) -> None:
    """Write the gradients of outputs: scale (output - y) where observed, 0 elsewhere; `scale` (n_outputs, LANES)."""
    n_steps, n_windows, n_outputs = y.shape
    work.d_outputs.fill(0)
    for t in range(n_steps):
        for b in range(n_windows):
            for k in range(n_outputs):
                if observed[t, b, k]:
                    for lane in range(LANES):
                        work.d_outputs[t, b, k, lane] = scale[k, lane] * (work.outputs[t, b, k, lane] - y[t, b, k])


@compiled(__name__)
def squared_norms(gradient: Any, total: Any) -> None:
    """Add the squares of every model's gradient, (n_parameters, LANES), to `total`, float64 of shape (LANES,)."""
    for k in range(len(gradient)):
        for lane in range(LANES):
            total[lane] += np.float64(gradient[k, lane]) * gradient[k, lane]


@compiled(__name__)
def adam_step(parameters: Any, gradient: Any, moments: Any, scale: Any, rate: Any, root: Any) -> None:
    """Take one step of Adam (Kingma and Ba 2015, as PyTorch has it) with moments .9, .999 and epsilon 1e-8.

    g = scale * gradient,  m = .9 m + .1 g,  v = .999 v + .001 g^2,  parameters -= rate m / (sqrt(v) root + 1e-8)

    Parameters
    ----------
    parameters, gradient : arrays of shape (n_parameters, LANES)
    moments : array of shape (2, n_parameters, LANES)
        m and v.
    scale, rate, root : arrays of shape (LANES,), of the type of the parameters
        What clipping leaves of a gradient; learning rate / (1 - .9^step); 1 / sqrt(1 - .999^step).
    """
    real = parameters.dtype.type
    first, second, epsilon = real(0.9), real(0.999), real(1e-8)
    # 1 - .9 of doubles, as PyTorch has it, and not of the type of the parameters.
    rest, rest_second = real(1 - 0.9), real(1 - 0.999)
    for k in range(len(parameters)):
        for lane in range(LANES):
            g = scale[lane] * gradient[k, lane]
            m = multiply_add(first, moments[0, k, lane], rest * g)
            v = multiply_add(second, moments[1, k, lane], rest_second * g * g)
            moments[0, k, lane] = m
            moments[1, k, lane] = v
            parameters[k, lane] -= rate[lane] * m / (multiply_add(np.sqrt(v), root[lane], epsilon))
