"""Measuring exported models: on this machine so far."""
