"""Measurements of signs, paths and activations: pure functions of arrays that know no framework."""
