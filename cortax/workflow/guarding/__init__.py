"""What keeps a project fit to build: its server, its files, and what nobody needs any more."""
