"""Makes docs/experiment-file.md from the models in `affekt.config`, so that the page cannot fall behind the code.

    python docs/make_experiment_file.py           write the page
    python docs/make_experiment_file.py --check   exit with 1 where the page is not up to date

Keys, types, limits, defaults and meanings are read off the pydantic models; only the prose around them stands here.
"""

from __future__ import annotations

import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from affekt.config import INHERITED, EncoderSection, Experiment

PAGE_PATH = Path(__file__).with_name("experiment-file.md")

HEAD = """\
# The experiment file

<!-- Made by docs/make_experiment_file.py from src/affekt/config.py. Edit these, not this page. -->

An experiment file is YAML. It holds everything that a run needs and nothing that a run computes. The smallest one:

```yaml
encoders: [mean, handcrafted]
```

Every key but `encoders` has a default. The whole file is checked before any work starts. All mistakes come in one
message, and an unknown key is a mistake:

```text
{mistakes}
```

`--set KEY=VALUE` overrides a key from the command line and can be repeated. Dots lead into a section, a number into a
list: `--set training.epochs=5`, `--set encoders.0.freeze=last1`, `--set "seeds=[0, 1, 2]"`. The value is YAML.
A float with an exponent needs a dot: `3.0e-5`, not `3e-5`.

Examples: [demo.yaml](../experiments/demo.yaml), [deam.yaml](../experiments/deam.yaml),
[seed.yaml](../experiments/seed.yaml), [inputs.yaml](../experiments/inputs.yaml),
[emotify.yaml](../experiments/emotify.yaml), [dynamic.yaml](../experiments/dynamic.yaml). What the settings do is told
in [method.md](method.md), the data sets in [datasets.md](datasets.md).
"""

ENCODERS = """\
A list. An entry is a name, or a mapping with `name` and further keys. `affekt encoders` lists the names.
A key that the mapping leaves out is taken from the key of the same name beside the list; `clips`, `training` and `loss`
are merged key by key.

```yaml
head: seed
training: {epochs: 20}
encoders:
  - mean
  - {name: handcrafted, freeze: all, head: ridge}                   # this encoder alone
  - {name: wav2vec2-nano, training: {epochs: 5}}                    # head: seed, epochs: 5
  - {name: mambavision-nano, label: other weights, weights: random}
```
"""

FOOT = """\
## Between keys

- `head: ridge` is a closed form and needs `freeze: all`.
- `engine` runs what is frozen; with `freeze: none` that is nothing, and torch runs. Not every encoder has every engine
  ([encoders.md](encoders.md#engines)).
- `clips` is for `dataset.annotations` `static`, `frames` for `dynamic`.
- `training.validation` counts beside the list alone: all encoders share one split. `split.kind`
  `holdout`, `seed` and `file` fix it.
- `training.lr` must not exceed `training.max_lr`, nor may a point of `search.space` that is tried.
- `test_dataset` leaves `split` out: its kind is `cross-corpus` ([datasets.md](datasets.md#cross-corpus)). Both data
  sets need the same `annotations` and targets.
- Two encoders need two names; tell entries with the same name apart with `label`.
- `seeds` must differ from one another.
"""

#: A file with two mistakes; the page shows what they lead to.
WITH_MISTAKES = {"encoders": ["wav2vec2-bas"], "training": {"batchsize": 16}}


def render() -> str:
    """The whole page."""
    parts = [HEAD.format(mistakes=_mistakes()), "## Top level\n", _table(Experiment, "", _plain_keys())]
    for name, model in _sections().items():
        parts += [f"## {name}\n", f"{model.__doc__}\n", _table(model, f"{name}.", list(model.model_fields))]
    parts += ["## encoders\n", ENCODERS, _table(EncoderSection, "encoders[].", list(EncoderSection.model_fields))]
    return "\n".join([*parts, FOOT])


def keys() -> list[str]:
    """Every key of the file, as the page writes it."""
    inside = [f"{name}.{key}" for name, model in _sections().items() for key in model.model_fields]
    return [*_plain_keys(), *inside, *(f"encoders[].{key}" for key in EncoderSection.model_fields)]


def _sections() -> dict[str, type[BaseModel]]:
    """The keys that hold keys, in the order of the model."""
    annotations = ((name, info.annotation) for name, info in Experiment.model_fields.items())
    return {name: kind for name, kind in annotations if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _plain_keys() -> list[str]:
    return [name for name in Experiment.model_fields if name not in _sections() and name != "encoders"]


def _table(model: type[BaseModel], prefix: str, names: list[str]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name in names:
        info = model.model_fields[name]
        shared = model is EncoderSection and name in INHERITED
        default = f"that of `{name}`" if shared else _default(info)
        meaning = f"`{name}` for this encoder alone" if shared else info.description
        cells = [f"`{prefix}{name}`", _type(info), default, meaning]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _type(info: FieldInfo) -> str:
    """The type with its limits: "whole number, 2 to 100"."""
    limits = _limits(info.metadata)
    return _type_words(info.annotation) + (f", {limits}" if limits else "")


def _type_words(annotation: Any) -> str:
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{_yaml(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_words(one) for one in arguments)
    if origin is tuple:
        return f"{len(arguments)} {_type_words(arguments[0])}s"
    if origin is list:
        return "list of " + re.sub("(number|text|value)", r"\1s", _type_words(arguments[0]))
    if origin is dict:
        return "mapping to " + _type_words(arguments[1])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    words = {Any: "value", str: "text", int: "whole number", float: "number", bool: "`true`, `false`", Path: "path"}
    return "`null`" if annotation is type(None) else words[annotation]


def _limits(metadata: list[Any]) -> str:
    low = high = ""
    for limit in metadata:
        match limit:
            case annotated_types.Ge(bound):
                low = f"{bound:g} or more"
            case annotated_types.Gt(bound):
                low = f"above {bound:g}"
            case annotated_types.Le(bound):
                high = f"at most {bound:g}"
            case annotated_types.Lt(bound):
                high = f"below {bound:g}"
            case annotated_types.MinLen(length):
                low = f"at least {length}"
        if pattern := getattr(limit, "pattern", None):
            low = f"matches `{pattern}`"
    return ", ".join(part for part in (low, high) if part)


def _default(info: FieldInfo) -> str:
    return "required" if info.is_required() else f"`{_yaml(info.default)}`"


def _yaml(value: Any) -> str:
    """A value as one would write it into the file."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _mistakes() -> str:
    from affekt.config import parse_experiment
    from affekt.errors import ConfigError

    try:
        parse_experiment(WITH_MISTAKES, "my.yaml")
    except ConfigError as error:
        return f"ConfigError: {error}"
    raise AssertionError("the example of mistakes holds none")


def main() -> int:
    """Write the page, or compare it."""
    page = render()
    if "--check" in sys.argv[1:]:
        up_to_date = PAGE_PATH.is_file() and PAGE_PATH.read_text(encoding="utf-8") == page
        if not up_to_date:
            sys.stderr.write(f"{PAGE_PATH.name} is not up to date. Run: python docs/make_experiment_file.py\n")
        return 0 if up_to_date else 1
    PAGE_PATH.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
