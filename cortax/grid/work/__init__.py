"""The cells of a job, done by workers and kept as they get done."""
