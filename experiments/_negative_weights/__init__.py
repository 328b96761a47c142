"""Modules of the experiment on negative weights."""
