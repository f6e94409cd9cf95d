"""Activations at the cut: computed once, stored by what made them."""
