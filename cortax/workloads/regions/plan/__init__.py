"""The jobs of a study of brain regions."""
