"""What workers of brain-region jobs do: one task for every method that has units."""
