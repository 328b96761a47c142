"""Figures, tables and the one-page report, drawn from what the experiments wrote."""
