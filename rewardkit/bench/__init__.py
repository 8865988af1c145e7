"""Measuring: suites that compare rewards, backbones and methods, and the pages that show what was found.

```
suites.py      what a benchmark is told; defaults/ the suites that come along
rewards/       which reward: agreement with people, response to defects, stability
backbones.py   which generator
methods/       which way to fine-tune, at equal cost
films/         films of the same prompts and noise: made, scored, compared
defects.py     known ways of spoiling a video
result.py      what was found, as data
pages/         what people look at: pages, tables, figures
provenance.py  commit, versions and machine of a result; memory.py the most that was held
proof.py       the demo's loop in the mini world
```
"""
