"""The scale in which decoders make log-mel energies, without TensorFlow, for programs that only run a model."""

from __future__ import annotations

import math

# Added to the mel energies before the logarithm, which keeps digital silence finite: about -60 dB of a full-scale sine
# spread over the bands.
ENERGY_FLOOR = 1e-6
# Mean and deviation of log-mel energies of speech at usual levels, rounded; the same for every corpus.
SCALED_MEAN = -6.0
SCALED_DEVIATION = 4.0
# Scaled log-mel energy of digital silence.
SCALED_SILENCE = (math.log(ENERGY_FLOOR) - SCALED_MEAN) / SCALED_DEVIATION
