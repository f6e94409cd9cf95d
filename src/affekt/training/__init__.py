"""Training what stands behind the cut, and the heads; or solving them in closed form."""

#: Raised by one whenever the same task gives other predictions than before; part of what a finished fold is known by.
TRAINING_VERSION = 4
