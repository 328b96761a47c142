"""Parts of the experiment on generalizing: plan, descents, directions, record, claims, figures."""
