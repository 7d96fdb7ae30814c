"""Methods of sequences."""
