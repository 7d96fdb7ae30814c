"""A study as jobs: which there are, which must run and why, and what they found."""
