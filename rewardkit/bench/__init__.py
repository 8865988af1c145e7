"""Measuring: suites that compare rewards, backbones and methods, and the pages that show what was found."""
