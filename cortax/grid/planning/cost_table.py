"""Seconds = a * N^b * p^c of one fit and of one refit, on one core; written by `benchmarks/fit_costs.py`.

N is the number of subjects of the study, p of regions; of a fit in a search of all configurations and targets together.
"""

FIT: dict[tuple[str, str], tuple[float, float, float]] = {
    ("elastic", "classification"): (1.841e-08, 1.000, 1.000),
    ("elastic", "regression"): (5.135e-12, 1.000, 1.792),
    ("lgbm", "classification"): (3.889e-06, 1.000, 0.658),
    ("lgbm", "regression"): (1.746e-06, 1.000, 0.843),
    ("ridge", "classification"): (1.078e-09, 1.000, 1.018),
    ("ridge", "regression"): (7.789e-11, 0.955, 1.023),
    ("svm", "regression"): (3.687e-09, 2.000, 0.000),
}
REFIT: dict[tuple[str, str], tuple[float, float, float]] = {
    ("elastic", "classification"): (3.468e-08, 1.000, 1.000),
    ("elastic", "regression"): (6.326e-10, 1.000, 1.422),
    ("lgbm", "classification"): (4.568e-05, 1.000, 0.386),
    ("lgbm", "regression"): (4.802e-08, 1.000, 1.440),
    ("ridge", "classification"): (4.349e-10, 1.000, 1.500),
    ("ridge", "regression"): (7.336e-09, 0.730, 1.282),
    ("svm", "regression"): (4.754e-09, 2.000, 0.000),
}
