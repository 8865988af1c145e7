"""Films of the same prompts and noise: made, found, scored and compared."""
