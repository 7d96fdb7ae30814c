"""Looking things up in what was built."""
