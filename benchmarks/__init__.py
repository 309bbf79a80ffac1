"""Tables of this project's speed, one command each: `python -m benchmarks.kernels`, `python -m benchmarks.encoder`.

Baselines run in the same process, in turn with this project, on one thread; the limits of the machine are measured with
them.
"""
