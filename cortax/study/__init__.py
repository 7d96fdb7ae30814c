"""A study: what a user asks for, read from TOML, typed and validated before anything runs."""
