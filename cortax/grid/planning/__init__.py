"""What a study asks for, as jobs: their names, keys, costs and order."""
