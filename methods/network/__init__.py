"""Methods of gene regulatory networks."""
