"""What the study file of a study of brain regions may say."""
