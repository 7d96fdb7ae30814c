"""Vectors of four float64 in compiled code: the order of every sum is in the source, whatever the processor.

A compiler may add up several terms at once only where it is allowed to change the order of a sum, and which order it
then takes depends on the processor and on what surrounds the loop. Here the vectors are written out as instructions of
LLVM instead. Multiply-adds round once (`llvm.fma`), with or without an instruction for them. So a small problem gets
the same bits alone, among others and on other machines.
"""
