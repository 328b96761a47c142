"""Parts of the two-weight picture: problem, plan, what the record says, claims, figure."""
