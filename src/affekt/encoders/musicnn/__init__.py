"""musicnn: a music tagger's view of a clip, with its published weights and without TensorFlow.

    encoder = musicnn("musicnn", "pretrained", seed=0)  # fetches 29 MB from the package index, once
    embeddings = encoder.activations(clips, encoder.cut("all"))  # (n_clips, 200)

Source: Pons & Serra (2019), "musicnn: Pre-trained convolutional neural networks for music audio tagging",
arXiv 1909.06654. The weights are under the ISC licence.
"""

from affekt.encoders.musicnn.checkpoint import read_checkpoint
from affekt.encoders.musicnn.encoder import MusicnnEncoder, musicnn
from affekt.encoders.musicnn.model import Musicnn, build

__all__ = ["Musicnn", "MusicnnEncoder", "build", "musicnn", "read_checkpoint"]
