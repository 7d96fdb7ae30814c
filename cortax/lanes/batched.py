"""Products of small matrices, a problem a lane; for use in compiled code.

An element of such a matrix is a vector of `LANES` numbers, one of each problem. Every lane does the same operations in
the same order, whatever is in the others, so a problem gets the same bits alone, among others, and beside one that has
become NaN. A multiplication and addition round once (`llvm.fma`) where the processor has an instruction for that, and
twice where it has none: the bits then differ between the two kinds of processors, see `HAS_FMA`.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from cortax.lanes import LANES

__all__ = ["HAS_FMA", "LANES", "add_products", "multiply_add"]


_INDEX = ir.IntType(64)


def _has_fma() -> bool:
    """Whether the processor that numba compiles for multiplies and adds with one rounding; those of ARM all do."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    features = config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    return "+fma" in features.split(",")


HAS_FMA = _has_fma()


def _fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x y + z of numbers or of vectors of `LANES` numbers."""
    if not HAS_FMA:
        return builder.fadd(builder.fmul(x, y), z)
    if not isinstance(x.type, ir.VectorType):
        return builder.fma(x, y, z)
    name = f"llvm.fma.v{LANES}f{'32' if isinstance(x.type.element, ir.FloatType) else '64'}"
    known = builder.module.globals.get(name)
    return builder.call(known or ir.Function(builder.module, ir.FunctionType(x.type, [x.type] * 3), name), (x, y, z))


def _multiply_add(typing, x, y, z):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return x y + z of three floats of one type, rounded as the module says."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return _fused(builder, *arguments)

    return (x(x, y, z), make) if x == y == z and isinstance(x, types.Float) else None


multiply_add: Any = intrinsic(_multiply_add)


@dataclass(frozen=True)
class _Operand:
    """An array argument of an intrinsic: its address, and the steps between its elements in bytes."""

    data: Any
    strides: list[Any]

    def at(self, builder: Any, *indices: Any, then: int = 0) -> Any:
        """Return the address of the vector at these indices of the first axes, or of one so many vectors after it."""
        vector = ir.VectorType(self.data.type.pointee, LANES)
        offset = ir.Constant(_INDEX, 0)
        for index, stride in zip(indices, self.strides, strict=False):
            offset = builder.add(offset, builder.mul(index, stride))
        address = cgutils.pointer_add(builder, self.data, offset, vector.as_pointer())
        return builder.gep(address, [ir.Constant(_INDEX, then)])


def _operand(context: Any, builder: Any, kind: Any, value: Any) -> _Operand:
    array = context.make_array(kind)(context, builder, value)
    return _Operand(array.data, cgutils.unpack_tuple(builder, array.strides, kind.ndim))


def _tile(n_rows: int, n_columns: int) -> Any:
    """Return the intrinsic that adds to `n_rows` x `n_columns` elements of C from (row, column) on.

    The sums stay in registers. Rows of A are next to each other in memory, so that one address does for all of them.
    """

    def tile(typing, A, B, C, row, column):  # type: ignore[no-untyped-def]  # noqa: ARG001
        def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, b, c = (_operand(context, builder, signature.args[k], arguments[k]) for k in range(3))
            row, column = arguments[3:]
            rows = [builder.add(row, ir.Constant(_INDEX, i)) for i in range(n_rows)]
            columns = [builder.add(column, ir.Constant(_INDEX, j)) for j in range(n_columns)]
            places = [[c.at(builder, i, j) for j in columns] for i in rows]
            sums = [[cgutils.alloca_once_value(builder, _load(builder, place)) for place in line] for line in places]
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            n_terms = cgutils.unpack_tuple(builder, array.shape, 3)[0]
            with cgutils.for_range(builder, n_terms) as loop:
                right = [_load(builder, b.at(builder, loop.index, j)) for j in columns]
                for i, totals in enumerate(sums):
                    left = _load(builder, a.at(builder, loop.index, row, then=i))
                    for factor, total in zip(right, totals, strict=True):
                        builder.store(_fused(builder, left, factor, builder.load(total)), total)
            for line, totals in zip(places, sums, strict=True):
                for place, total in zip(line, totals, strict=True):
                    builder.store(builder.load(total), place).align = _alignment(place)
            return context.get_dummy_value()

        return types.void(A, B, C, row, column), make

    return intrinsic(tile)


def _alignment(place: Any) -> int:
    """Bytes of one number: arrays of numpy are aligned to no more."""
    return 4 if isinstance(place.type.pointee.element, ir.FloatType) else 8


def _load(builder: Any, place: Any) -> Any:
    value = builder.load(place)
    value.align = _alignment(place)
    return value


# Twelve sums, three factors and one more: the sixteen registers of AVX2.
_ROWS = 4
_three, _two, _one = (_tile(_ROWS, n) for n in (3, 2, 1))
_row_three, _row_two, _row_one = (_tile(1, n) for n in (3, 2, 1))


@register_jitable
def add_products(A: Any, B: Any, C: Any) -> None:
    """Add to C[i, j] the sum over p of A[p, i] B[p, j], for every lane: the last axis.

    Parameters
    ----------
    A : array of shape (n_terms, n, LANES)
        Its last two axes are contiguous.
    B : array of shape (n_terms, m, LANES)
    C : array of shape (n, m, LANES)
        All of one type, float32 or float64; lanes are contiguous. Nothing is checked. Terms are added in the order of
        p, whatever n and m are.
    """
    n, m = C.shape[0], C.shape[1]
    # The last four as two and two: sums of one column wait for each other.
    twos = m - (m % 3 if m % 3 != 1 or m == 1 else 4)
    for i in range(0, n - n % _ROWS, _ROWS):
        for j in range(0, twos, 3):
            _three(A, B, C, i, j)
        for j in range(twos, m - 1, 2):
            _two(A, B, C, i, j)
        if (m - twos) % 2:
            _one(A, B, C, i, m - 1)
    for i in range(n - n % _ROWS, n):
        for j in range(0, twos, 3):
            _row_three(A, B, C, i, j)
        for j in range(twos, m - 1, 2):
            _row_two(A, B, C, i, j)
        if (m - twos) % 2:
            _row_one(A, B, C, i, m - 1)
