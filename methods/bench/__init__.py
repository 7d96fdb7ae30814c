"""Methods that measure."""
