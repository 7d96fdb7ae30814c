"""Networks of genes: which genes regulate a gene, by tree ensembles that predict it from all others."""
