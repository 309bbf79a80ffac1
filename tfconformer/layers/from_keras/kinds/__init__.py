"""Expansions of Keras layers, one file for each kind."""
