"""Search and evaluation of many configurations, targets and folds."""
