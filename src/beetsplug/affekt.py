"""A plug-in for beets: what songs feel like, as fields of the library.

    plugins: affekt
    affekt:
        model: ~/models/deam     # a folder, or owner/name on the Hugging Face hub
        auto: no                 # predict on import
        write: no                # also into the files' tags
        workers: 0               # processes that decode ahead; 0 for threads

`beet affekt [QUERY]` predicts songs that were not predicted by this model yet. Fields are `affekt_valence`,
`affekt_arousal` (or whatever the model predicts), `affekt_valence_low` and `_high`, `affekt_quadrant` and
`affekt_model`; numbers can be asked for by range: `beet ls affekt_valence:6.. affekt_arousal:..4`.

beets finds it by its name, `beetsplug.affekt`; this folder is a part of beets' namespace and has no `__init__.py`.
Nothing heavy is loaded before a song is to be predicted.
"""

from __future__ import annotations

import json
import optparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beets.dbcore import types
from beets.plugins import BeetsPlugin
from beets.ui import Subcommand, UserError

from affekt.model.fields import field_names

if TYPE_CHECKING:
    from beets.importer import ImportSession, ImportTask
    from beets.library import Item, Library

    from affekt.model.batch import Answer
    from affekt.model.predictor import Model

PREFIX = "affekt_"
#: Fields that are numbers in any library, whichever model is in the configuration.
USUAL = ("valence", "arousal")


class AffektPlugin(BeetsPlugin):
    """The command `affekt`, and an import stage if `auto` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add({"model": "", "auto": False, "write": False, "workers": 0})
        self._model: Model | None = None
        if self.config["auto"].get(bool):
            self.import_stages = [self._imported]

    @property
    def item_types(self) -> dict[str, types.Type]:
        """Numbers, so that they can be asked for by range."""
        return {
            f"{PREFIX}{name.lower()}{end}": types.FLOAT
            for name in field_names(self._configured_targets()).values()
            for end in ("", "_low", "_high")
        }

    def commands(self) -> list[Subcommand]:
        """`beet affekt`."""
        command = Subcommand("affekt", help="predict what songs feel like")
        command.parser.add_option("-f", "--force", action="store_true", help="predict songs that have values, too")
        command.parser.add_option("-w", "--write", action="store_true", help="write values into the files' tags, too")
        command.func = self._asked
        return [command]

    def _asked(self, library: Library, options: optparse.Values, arguments: list[str]) -> None:
        """All at once: songs are decoded while the encoder runs."""
        from affekt.model.batch import predict_files

        model = self._loaded()
        items = self._lacking(library.items(arguments), bool(options.force))
        write = bool(options.write) or self.config["write"].get(bool)
        self._store(predict_files(model, list(items), workers=self.config["workers"].get(int)), items, write)

    def _imported(self, session: ImportSession, task: ImportTask) -> None:
        """One after the other: `predict_files` keeps standard error silent, where other stages of an import write.

        A mistake in the configuration does not stop an import.
        """
        del session
        try:
            self._loaded()
        except UserError as error:
            self._log.error("{}", error)
            return
        items = self._lacking(task.imported_items(), False)
        self._store(self._answers(items), items, self.config["write"].get(bool))

    def _lacking(self, items: Iterable[Item], force: bool) -> dict[Path, Item]:
        """Those that the model has not predicted yet, by file."""
        model = self._loaded().fingerprint
        return {item.filepath: item for item in items if force or item.get(f"{PREFIX}model") != model}

    def _answers(self, paths: Iterable[Path]) -> Iterator[Answer]:
        from affekt.errors import AudioError
        from affekt.model.batch import Answer

        with self._loaded().running() as model:
            for path in paths:
                try:
                    answer = Answer(path, model.predict(path, curve=False), None)
                except AudioError as error:
                    answer = Answer(path, None, str(error))
                yield answer

    def _store(self, answers: Iterable[Answer], items: Mapping[Path, Item], write: bool) -> None:
        """Store each as soon as it is known; what there is to say comes last, for standard error may be silent."""
        from affekt.model.rows import row_of

        model = self._loaded()
        failed: list[str] = []
        remarks: list[str] = []
        for answer in answers:
            if answer.error is not None:
                failed.append(answer.error)
                continue
            row, item = row_of(answer, model.targets, model.fingerprint), items[answer.path]
            _set(item, row, model.targets)
            if write:
                remarks += self._write(item, row)
            item.store()
        for remark in [*failed, *remarks]:
            self._log.warning("{}", remark)
        self._log.info("{} songs predicted, {} could not be", len(items) - len(failed), len(failed))

    def _write(self, item: Item, row: Mapping[str, Any]) -> list[str]:
        """Write the file's tags, and give what there is to say."""
        from affekt.errors import AffektError
        from affekt.model.fields import fields_of
        from affekt.model.tags import write_tags

        try:
            remark = write_tags(item.filepath, fields_of(row, self._loaded().targets))
        except AffektError as error:
            return [str(error)]
        if remark is not None:
            return [remark.text]
        if item.mtime:  # beets has seen the file: it need not read it again for tags that are not its own
            item.mtime = item.current_mtime()
        return []

    def _loaded(self) -> Model:
        from affekt.errors import AffektError
        from affekt.model.predictor import load_model

        if self._model is None:
            place = self.config["model"].as_str()
            if not place:
                raise UserError("affekt: no model in the configuration. Set affekt.model to the folder of one.")
            try:
                self._model = load_model(place)
            except AffektError as error:
                raise UserError(f"affekt: {error}") from None
        return self._model

    def _configured_targets(self) -> list[str]:
        """What the model predicts, read without loading anything heavy; the usual where that cannot be known."""
        try:
            path = Path(self.config["model"].as_str()).expanduser() / "model.json"
            found = [str(target["name"]) for target in json.loads(path.read_text(encoding="utf-8"))["targets"]]
        except (OSError, ValueError, LookupError, TypeError):
            found = []
        return list(dict.fromkeys([*found, *USUAL]))


def _set(item: Item, row: Mapping[str, Any], targets: Sequence[str]) -> None:
    """Fields of one item, in place of those that another model gave."""
    for key in [key for key in item.keys() if key.startswith(PREFIX)]:  # noqa: SIM118 (not a mapping)
        del item[key]
    for target, name in field_names(targets).items():
        for key, end in ((target, ""), (f"{target}_low", "_low"), (f"{target}_high", "_high")):
            item[f"{PREFIX}{name.lower()}{end}"] = row[key]
    if row["quadrant"] is not None:
        item[f"{PREFIX}quadrant"] = row["quadrant"]
    item[f"{PREFIX}model"] = row["model"]
