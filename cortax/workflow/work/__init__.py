"""What a job's workers do: units of work, checkpoints, memory, and the back-ends that provide the workers."""
