"""Models on the Hugging Face hub: fetched at one commit, and pushed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affekt.encoders.hub import find_checkpoint, unreachable
from affekt.errors import DataError, MissingExtraError, StorageError
from affekt.model.bundle import CARD, GRAPH, SETTINGS, WEIGHTS

if TYPE_CHECKING:
    from affekt.model.predictor import Model


def fetch_bundle(name: str) -> Path:
    """A model's folder on this machine, fetched if need be: three files, at the commit that was looked up.

    Args:
        name: "owner/name" or "owner/name@revision".

    Raises:
        DataError: not a name of the hub, and no folder either.
        WeightsError: the hub has no such model, or cannot be reached.
    """
    if name.partition("@")[0].count("/") != 1 or name.startswith((".", "/", "~")):
        raise DataError(f"{name}: no such folder, so it is no model. `affekt train` makes one.")
    return find_checkpoint(name, (WEIGHTS,), (SETTINGS, CARD, GRAPH)).folder


def push(model: Model, repository: str, private: bool, token: str | None) -> str:
    """Write a model's three files into a repository of the hub; see `Model.push_to_hub`."""
    try:
        from huggingface_hub import ModelHubMixin
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise MissingExtraError(f"pushing to {repository}", "models") from None

    class Pushed(ModelHubMixin):
        """What the hub's client asks to save itself."""

        def _save_pretrained(self, save_directory: Path) -> None:
            model.save(save_directory)

    try:
        return str(Pushed().push_to_hub(repository, private=private, token=token, commit_message=model.fingerprint))
    except HFValidationError as error:
        raise StorageError(f'"{repository}": cannot be the name of a repository ({error}).') from None
    except Exception as error:
        if not unreachable(error):  # the hub's own refusals count as that, too
            raise
        raise StorageError(
            f"{repository}: the hub did not take it ({' '.join(str(error).split())[:300]}). Check the name, and that "
            "HF_TOKEN may write there."
        ) from None
