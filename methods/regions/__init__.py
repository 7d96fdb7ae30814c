"""Methods of studies of brain regions."""
