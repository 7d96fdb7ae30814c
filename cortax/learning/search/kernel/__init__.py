"""Support vector machines: distances, kernels and the minimum over the coefficients."""
