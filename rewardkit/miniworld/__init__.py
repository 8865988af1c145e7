"""A small film world with known truth: moving coloured shapes with captions, in good and spoiled quality."""
