"""MambaVision, an image encoder of convolutions, selective scans and attention, compatible with its published weights.

    model = build(replace(VARIANTS["s"], num_classes=0), seed=0)
    load_checkpoint(model, "model.safetensors")
    features = model.eval().forward_features(images)  # (batch, 768)

`MambaVision.stages` cuts the network into a part to be stored and a part to be trained.
"""

from affekt.encoders.mambavision.config import VARIANTS, MambaVisionConfig
from affekt.encoders.mambavision.inference import faster
from affekt.encoders.mambavision.model import MambaVision, Stage, build
from affekt.encoders.mambavision.scan import selective_scan, selective_scan_sequential
from affekt.encoders.mambavision.weights import load_checkpoint

__all__ = [
    "VARIANTS",
    "MambaVision",
    "MambaVisionConfig",
    "Stage",
    "build",
    "faster",
    "load_checkpoint",
    "selective_scan",
    "selective_scan_sequential",
]
