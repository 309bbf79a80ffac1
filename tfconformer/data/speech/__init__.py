"""The corpus of this project's measurements: synthetic and human English speech, built from free packages.

`plan.py` defines the contents of every subset, `build.py` makes them from `chapters.py`. Sentences come from
`sentences.py` (spoken commands) and from the scripts of two games (`amazon_queen.py`, `drascula.py`), speakers from
`voices.py`, audio from `synthesis.py` and `acoustics.py`; `partition.py` assigns lines to subsets.
"""
