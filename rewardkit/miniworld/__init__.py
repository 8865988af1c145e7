"""A small film world with known truth: coloured shapes that move, with captions, in good and spoiled quality."""
