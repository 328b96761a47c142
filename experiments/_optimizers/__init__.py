"""Parts of the experiment on optimizers: plan, probe, results, claims, figures."""
