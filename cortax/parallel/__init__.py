"""How fast this machine is by processes, BLAS threads, estimator jobs and back-ends: measured, and what follows."""
