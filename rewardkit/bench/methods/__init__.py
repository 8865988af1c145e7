"""Ways to fine-tune, compared at equal cost."""
