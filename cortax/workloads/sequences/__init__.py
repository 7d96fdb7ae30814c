"""Sequences: many small recurrent networks trained side by side."""
