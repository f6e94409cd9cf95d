"""Load published weights into a MambaVision, whole or not at all.

Two kinds of files are read: `.safetensors`, which can hold nothing but arrays and is to be preferred, and torch's own
`.pth.tar`, `.pth`, `.pt` or `.bin`. The latter are pickles, and a pickle may run any code; they are read by torch's
restricted reader, which builds tensors and plain containers only and refuses everything else. Of an
`argparse.Namespace`, which training scripts like to leave in a checkpoint, it may build the attributes.

Keys may carry the prefixes `module.` and `model.`, and the weights may lie under an entry `state_dict`. Counters of
batch normalisation are ignored, and so is the linear head where the model has none. All other keys and shapes must
match. The weights published for this architecture are under the licence CC BY-NC-SA 4.0, not under that of this code.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from affekt.errors import WeightsError, problems

_WRAPPERS = ("module.", "model.")
_COUNTER = "num_batches_tracked"
_HEAD = "head."
_TORCH_SUFFIXES = (".tar", ".pth", ".pt", ".bin")


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Fill `model` with the weights in a file.

    Args:
        model: a MambaVision, or any module whose keys the file should hold. On an error it stays as it was.
        path: a `.safetensors` file, or one written by `torch.save`. Half-precision weights are widened.

    Raises:
        WeightsError: the file is missing, damaged, of another kind or holds more than weights; or keys are missing,
            unexpected, of another shape or not finite. All such keys are listed.
    """
    path = Path(path)
    found = _plain_keys(_state_dict(_read(path), path), path)
    wanted = _without_counters(model.state_dict())
    if not any(key.startswith(_HEAD) for key in wanted):
        found = {key: tensor for key, tensor in found.items() if not key.startswith(_HEAD)}
    mistakes = _mistakes(found, wanted)
    if mistakes:
        advice = "Take weights that belong to this encoder, of the same size; nothing was loaded."
        raise WeightsError(f"{problems(str(path), mistakes)}\n{advice}")
    model.load_state_dict(found, strict=False)  # only counters are not in it: checked above


def _read(path: Path) -> Any:
    """Content of a file of weights, as its reader gives it."""
    if not path.is_file():
        raise WeightsError(f"There is no file {path}. Download the weights, or mend the path.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in _TORCH_SUFFIXES:
        return _read_pickle(path)
    allowed = ", ".join((".safetensors", *_TORCH_SUFFIXES))
    raise WeightsError(f"{path} does not look like weights. Allowed endings are {allowed}; convert or rename the file.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # a damaged file can fail in any way; whatever it is, the remedy is the same
        raise WeightsError(f"{path} is not a whole safetensors file ({error}). Download it again.") from error


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can fail in any way, and each means the same
        raise WeightsError(
            f"{path} is damaged or holds something other than weights, and was not loaded ({_reason(error)}). Allowed "
            "are tensors in plain containers. Download it again from a source you trust, or take the .safetensors file."
        ) from error


def _reason(error: Exception) -> str:
    """The first sentence that says what torch's restricted reader stumbled over."""
    text = str(error).strip() or type(error).__name__
    _, _, refused = text.partition("WeightsUnpickler error: ")
    return (refused or text).splitlines()[0].partition(". ")[0]


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The mapping of keys to tensors within the content of a file."""
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}. Allowed is a mapping of names to tensors.")
    odd = [f"{key!r}: {type(value).__name__}" for key, value in content.items() if not _is_entry(key, value)]
    if odd:
        raise WeightsError(f"{problems(str(path), odd)}\nAllowed are names and tensors, bare or under 'state_dict'.")
    return dict(content)


def _is_entry(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor)


def _plain_keys(found: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Strip wrappers from the keys and leave out counters."""
    plain: dict[str, Tensor] = {}
    for key, tensor in _without_counters(found).items():
        stripped = _unwrapped(key)
        if stripped in plain:
            raise WeightsError(f"{path} holds {stripped} twice, once as {key}. Keep one model in a file.")
        plain[stripped] = tensor
    return plain


def _unwrapped(key: str) -> str:
    while key.startswith(_WRAPPERS):
        key = key.partition(".")[2]
    return key


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not key.endswith(_COUNTER)}


def _mistakes(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    """Describe each key that is missing, unexpected or unusable."""
    missing = [f"{key}: missing, must be of shape {tuple(wanted[key].shape)}." for key in wanted.keys() - found.keys()]
    unexpected = [f"{key}: unexpected, shape {tuple(found[key].shape)}." for key in found.keys() - wanted.keys()]
    unusable = [f"{key}: {fault}" for key in found.keys() & wanted.keys() if (fault := _fault(found[key], wanted[key]))]
    return sorted(missing) + sorted(unexpected) + sorted(unusable)


def _fault(found: Tensor, wanted: Tensor) -> str | None:
    """What keeps a tensor from taking the place of another, if anything."""
    if found.shape != wanted.shape:
        return f"shape {tuple(found.shape)}, must be {tuple(wanted.shape)}."
    if not found.is_floating_point() or found.layout != torch.strided or found.is_meta:
        return f"a {found.layout} tensor of {found.dtype} on {found.device}, must hold plain floating-point numbers."
    if not bool(torch.isfinite(found).all()):
        return "holds NaN or infinity, must be finite."
    return None
