"""What fits and refits take on one core, and what a worker holds; written by `benchmarks/fit_costs.py`.

Seconds = a * N^b * p^c of one fit in a search of all configurations and targets together, and of one refit; N is the
number of subjects of the study, p of regions. Bytes of a worker beyond what it has from the start = 8 * (a * N * p
+ b * p^2 + c * N^2 + d), of one unit of work.
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
MEMORY: dict[str, tuple[float, float, float, float]] = {
    "elastic": (0.000, 3.676, 0.000, 11262910.0),
    "lgbm": (2.713, 0.000, 0.000, 0.0),
    "ridge": (0.465, 1.925, 0.000, 9576494.4),
    "svm": (0.000, 0.000, 1.495, 10210615.3),
}
