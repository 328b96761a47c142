"""Parts of the Fisher's spectrum: networks, plan, what the record says, claims, figures."""
