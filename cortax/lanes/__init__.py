"""Vectors in compiled code: the order of every operation is in the source, whatever the processor.

A compiler may add up several terms at once only where it is allowed to change the order of a sum, and which order it
then takes depends on the processor and on what surrounds the loop. Here the vectors are written out as instructions of
LLVM instead, so that a small problem gets the same bits alone and among others.

`products` and `functions` are for one problem whose sums lie along vectors of four float64; a multiplication and
addition round once (`llvm.fma`), with or without an instruction for it, so that bits are the same on all machines.
`batched` and `activations` are for eight problems of one shape, one in each lane; on processors without the instruction
they round twice, so that there the bits are others (`batched.HAS_FMA`).
"""

# Of the vectors of `batched`.
LANES = 8
