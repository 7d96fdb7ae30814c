"""Many small problems at once: numbers of one problem in a lane of the processor's vectors, in a fixed order."""
