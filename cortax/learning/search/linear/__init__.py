"""Linear models: descent on Gram matrices and on the logistic loss."""
