"""Load tests: each module is one command, `python -m loadtests.NAME [--quick] [--json]`.

`--quick` ends within 45 s and prints one JSON object of figures and spreads as its last line; a full run also writes
the figures (`loadtests/figures/NAME.json`), the picture (`NAME.svg`) and a line in `loadtests/RESULTS.md`.
Figures are medians of alternating rounds; the spread is (largest - smallest) / median. Each says which of its goals it
met. Nothing here gates on time; what must never happen, such as an answer of two deployments at once, is a failure.
"""
