"""The corpus this project measures itself on: synthetic and human English speech, built from free packages.

`plan.py` lists the subsets and decides what each contains, `build.py` makes them. What is said comes from
`sentences.py` (spoken commands) and from the scripts of two games (`amazon_queen.py`, `drascula.py`), who says it from
`voices.py`, how it sounds from `synthesis.py` and `acoustics.py`, which subset a line may enter from `partition.py`.
"""
