"""Jobs as values: what they are, need and cost, and in which order they are asked for."""
