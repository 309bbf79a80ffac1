"""The limits of usable audio, the same in shards, evaluations and streams."""

# Longest utterance of shards and of an evaluation unless an option says otherwise, in seconds: the memory of attention
# grows with the square of the length.
MAX_SECONDS = 40.0
# Audio is in [-1, 1]; recordings in float and resampling overshoot that a little. Farther out are 16-bit numbers.
LOUDEST = 8.0
