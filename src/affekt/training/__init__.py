"""Training what stands behind the cut, and the heads; or solving them in closed form."""
