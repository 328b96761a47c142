"""Parts of the flagship: plan, sweeps, what is measured at the start, claims, figures."""
