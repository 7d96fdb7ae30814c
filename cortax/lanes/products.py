"""Sums of products, as register tiles.

Every function takes whole C-contiguous float64 arrays, each with the place (in elements, not bytes) at which the
operand begins, so that a tile can be anywhere in a matrix. Nothing is checked: places, strides and lengths must be
right.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["WIDTH", "add_products", "dot", "padded", "subtract_products"]

WIDTH = 4

_REAL = ir.DoubleType()
_VECTOR = ir.VectorType(_REAL, WIDTH)
_INDEX = ir.IntType(64)


def padded(n: int, multiple: int = WIDTH) -> int:
    """Return the least multiple that is not below n.

    >>> padded(65)
    68
    """
    return -(-n // multiple) * multiple


def _data(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    """Return the address of the first element of an array, and what an integer argument adds to it."""
    array = context.make_array(signature.args[number])(context, builder, arguments[number])
    return builder.gep(array.data, [arguments[number + 1]])


def _load(builder: Any, address: Any) -> Any:
    value = builder.load(builder.bitcast(address, _VECTOR.as_pointer()))
    value.align = 8
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.bitcast(address, _VECTOR.as_pointer())).align = 8


def _splat(builder: Any, value: Any) -> Any:
    """Return a vector of one value."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    )


def _variable(builder: Any, value: Any) -> Any:
    """Return the address of a new local variable; LLVM keeps it in a register."""
    return cgutils.alloca_once_value(builder, value)


def _multiply_add(builder: Any) -> Any:
    name = f"llvm.fma.v{WIDTH}f64"
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name)


def _index(value: int) -> Any:
    return ir.Constant(_INDEX, value)


def _tile(n_rows: int, n_vectors: int, subtract: bool) -> Any:
    """Return C[i, j] += (or -=) sum_p A[i, p] B[p, j] for `n_rows` rows and `n_vectors` times four columns.

    The sums stay in registers. Terms are added in the order of p.
    """

    def tile(typing, C, c, c_row, A, a, a_row, a_step, B, b, b_step, n):  # type: ignore[no-untyped-def]  # noqa: ARG001
        """C at c, its rows `c_row` apart; A[i, p] at a + i * a_row + p * a_step; B[p, j] at b + p * b_step + j."""
        whole = types.int64
        signature = types.void(C, whole, whole, A, whole, whole, whole, B, whole, whole, whole)

        def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            to, left, right = (_data(context, builder, signature, arguments, number) for number in (0, 3, 7))
            c_row, a_row, a_step, b_step, n = (arguments[number] for number in (2, 5, 6, 9, 10))
            fma = _multiply_add(builder)
            places = [
                [
                    builder.gep(to, [builder.add(builder.mul(c_row, _index(i)), _index(j * WIDTH))])
                    for j in range(n_vectors)
                ]
                for i in range(n_rows)
            ]
            sums = [[_variable(builder, _load(builder, place)) for place in row] for row in places]
            with cgutils.for_range(builder, n) as loop:
                source = builder.gep(right, [builder.mul(loop.index, b_step)])
                vectors = [_load(builder, builder.gep(source, [_index(j * WIDTH)])) for j in range(n_vectors)]
                at = builder.mul(loop.index, a_step)
                for i, row in enumerate(sums):
                    factor = builder.load(builder.gep(left, [builder.add(at, builder.mul(a_row, _index(i)))]))
                    factors = _splat(builder, builder.fneg(factor) if subtract else factor)
                    for vector, total in zip(vectors, row, strict=True):
                        builder.store(builder.call(fma, [factors, vector, builder.load(total)]), total)
            for row, totals in zip(places, sums, strict=True):
                for place, total in zip(row, totals, strict=True):
                    _store(builder, builder.load(total), place)
            return context.get_dummy_value()

        return signature, make

    return intrinsic(tile)


# By number of rows and of vectors: those that the models use.
add_products: dict[tuple[int, int], Any] = {
    shape: _tile(*shape, subtract=False) for shape in ((1, 2), (1, 3), (4, 1), (4, 2), (4, 3))
}
subtract_products: dict[tuple[int, int], Any] = {
    shape: _tile(*shape, subtract=True) for shape in ((4, 1), (4, 2), (4, 3))
}


def _dot(typing, A, a, B, b, n):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return sum_k A[a + k] B[b + k] for n terms, n a multiple of four: four sums, added up at the end."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, right = (_data(context, builder, signature, arguments, number) for number in (0, 2))
        fma = _multiply_add(builder)
        total = _variable(builder, ir.Constant(_VECTOR, [0.0] * WIDTH))
        with cgutils.for_range(builder, builder.udiv(arguments[4], _index(WIDTH))) as loop:
            at = builder.mul(loop.index, _index(WIDTH))
            terms = [_load(builder, builder.gep(array, [at])) for array in (left, right)]
            builder.store(builder.call(fma, [*terms, builder.load(total)]), total)
        parts = [builder.extract_element(builder.load(total), ir.Constant(ir.IntType(32), k)) for k in range(WIDTH)]
        return builder.fadd(builder.fadd(parts[0], parts[1]), builder.fadd(parts[2], parts[3]))

    whole = types.int64
    return types.float64(A, whole, B, whole, whole), make


dot: Any = intrinsic(_dot)
