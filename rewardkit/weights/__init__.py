"""Checkpoint files: found on disk or on the hub, read without running anything in them, put into models strictly."""
