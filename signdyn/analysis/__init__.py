"""Fisher spectra, conditioning and natural gradients of any ``apply_fn(params, x)``."""
