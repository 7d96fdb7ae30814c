"""Seconds = a * N^b * p^c of one fit and of one refit, on one core; written by `benchmarks/fit_costs.py`.

N is the number of subjects of the study, p of regions; of a fit in a search of all configurations and targets together.
"""

FIT: dict[tuple[str, str], tuple[float, float, float]] = {
    ("elastic", "classification"): (7.878e-11, 1.000, 1.819),
    ("elastic", "regression"): (7.009e-12, 1.000, 1.728),
    ("lgbm", "classification"): (3.889e-06, 1.000, 0.658),
    ("lgbm", "regression"): (1.746e-06, 1.000, 0.843),
    ("ridge", "classification"): (1.078e-09, 1.000, 1.018),
    ("ridge", "regression"): (7.789e-11, 0.955, 1.023),
    ("svm", "classification"): (1.507e-09, 2.000, 0.000),
    ("svm", "regression"): (6.623e-10, 2.000, 0.185),
}
REFIT: dict[tuple[str, str], tuple[float, float, float]] = {
    ("elastic", "classification"): (2.937e-09, 1.000, 1.381),
    ("elastic", "regression"): (1.331e-09, 1.000, 1.271),
    ("lgbm", "classification"): (4.568e-05, 1.000, 0.386),
    ("lgbm", "regression"): (4.802e-08, 1.000, 1.440),
    ("ridge", "classification"): (4.349e-10, 1.000, 1.500),
    ("ridge", "regression"): (7.336e-09, 0.730, 1.282),
    ("svm", "classification"): (1.166e-09, 2.000, 0.587),
    ("svm", "regression"): (3.242e-10, 2.000, 0.708),
}
