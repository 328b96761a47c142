"""The figures that claims point to."""

WIDTH, SPECTRUM, DOSE = "fisher_width", "fisher_spectrum", "fisher_dose"
