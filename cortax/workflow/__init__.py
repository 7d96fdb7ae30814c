"""The engine: plans, builds, workers, guards and look-ups. It knows no brain and no gene."""
