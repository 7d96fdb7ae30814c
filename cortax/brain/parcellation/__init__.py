"""Parcellations: reading, generating and applying them."""
