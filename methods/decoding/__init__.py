"""Methods of decoding."""
