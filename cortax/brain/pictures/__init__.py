"""Pictures of the brain: parcellations and values of regions, on surfaces and in volumes."""
