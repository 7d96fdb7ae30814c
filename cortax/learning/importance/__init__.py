"""Which regions a model rests on: coefficients, activation patterns and permutation, fold by fold and on average."""
