"""A pipeline's folder, or its place on the hub: which pipeline it is of, and its parts, whole."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DDIMScheduler
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging

from rewardkit.errors import BadCheckpointError, MissingWeightsError, RewardkitError, UsageError
from rewardkit.registry import BACKBONES

INDEX = "model_index.json"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Index:
    """What a folder or repository says that it is.

    Attributes:
        who: the backbone that asks, for errors.
        model: folder or hub id.
        entries: of `model_index.json`: each part's library and class, and the pipeline's settings.
    """

    who: str
    model: str
    entries: Mapping[str, Any]

    @property
    def pipeline(self) -> str:
        """Name of its class."""
        return str(self.entries["_class_name"])

    def check(self, pipeline: str) -> None:
        """Refuses a model of another kind, before anything large is loaded.

        Raises:
            UsageError: it is of another pipeline.
        """
        if self.pipeline == pipeline:
            return
        message = f"{self.who} takes {_a(pipeline)}: {self.model} is {_a(self.pipeline)}"
        known = known_pipelines()
        fitting = [name for name, kind in known.items() if kind == self.pipeline]
        if fitting:
            raise UsageError(f"{message}, which {' and '.join(fitting)} can load")
        every = ", ".join(f"{name} ({kind})" for name, kind in known.items())
        raise UsageError(f"{message}. Known are {every}; adapters/README.md shows how to write another")

    def kind_of(self, part: str) -> str | None:
        """Name of a part's class; None where it has no such part."""
        named = self.entries.get(part)
        return str(named[1]) if isinstance(named, list) and named[1] is not None else None


def known_pipelines() -> dict[str, str]:
    """The pipeline that each installed backbone loads, by the backbone's name; of those that can be imported."""
    known: dict[str, str] = {}
    for name in BACKBONES.names():
        with suppress(RewardkitError):
            kind = getattr(BACKBONES.load(name), "pipeline", None)
            known |= {name: kind} if isinstance(kind, str) else {}
    return known


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIO" else f"a {name}"


def read_index(who: str, model: str) -> Index:
    """Of a folder in the layout of diffusers, or a repository.

    Raises:
        UsageError: it is not in that layout.
        MissingWeightsError: it is not on this machine and cannot be fetched.
    """
    here = Path(model).is_dir()
    if not here and not REPOSITORY.fullmatch(model):
        raise UsageError(f"{who}: no such folder: {model}")
    try:
        index = Path(model) / INDEX if here else Path(hf_hub_download(model, INDEX))
        entries = json.loads(index.read_text())
        return Index(who, model, {"_class_name": entries["_class_name"], **entries})
    except (LocalEntryNotFoundError, ConnectionError, TimeoutError):
        raise MissingWeightsError(
            f"{who} needs {model}, which is not on this machine and cannot be fetched now"
        ) from None
    except (HfHubHTTPError, OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{who}: {model} is not in the layout of diffusers: it has no readable {INDEX}") from None


def load_parts(index: Index, kinds: Mapping[str, Any], flow: bool, dtype: torch.dtype) -> dict[str, Any]:
    """Networks of these kinds, the tokenizers of its text encoders, and the scheduler.

    Args:
        index: of the folder.
        kinds: of the networks, by folder.
        flow: whether the scheduler has to be a flow's, or a chain of betas.
        dtype: of the weights.

    Raises:
        UsageError: a part is missing in the index or of another class, or the scheduler is of another kind.
        BadCheckpointError: a file is not whole.
        MissingWeightsError: a file is not on this machine and cannot be fetched.
    """
    for part, kind in kinds.items():
        if index.kind_of(part) != kind.__name__:
            found = index.kind_of(part)
            raise UsageError(f"{index.who} needs {_a(kind.__name__)} as {part}: {index.model} has {found or 'none'}")
    where = (index.who, index.model)
    made = {part: load_network(kind, *where, part, dtype) for part, kind in kinds.items()}
    for part in [part for part in kinds if part.startswith("text_encoder")]:
        name = part.replace("text_encoder", "tokenizer")
        kind = getattr(transformers, index.kind_of(name) or "", transformers.AutoTokenizer)
        made[name] = load_tokenizer(kind, *where, name, made[part].config.vocab_size)
    made["scheduler"] = load_scheduler(*where, "scheduler", flow)
    return made


def load_network(kind: Any, who: str, model: str, folder: str, dtype: torch.dtype) -> Any:
    """A network with every tensor from its file; both libraries would draw at random what is missing there.

    Raises:
        BadCheckpointError: a tensor is missing or of another shape, or the file is cut.
        MissingWeightsError: it is not on this machine and cannot be fetched.
    """
    of_transformers = issubclass(kind, PreTrainedModel)
    ours = {"dtype": dtype, "ignore_mismatched_sizes": True} if of_transformers else {"torch_dtype": dtype}
    with _explained(who, model, folder), _without_bar(model):
        network, found = kind.from_pretrained(model, subfolder=folder, output_loading_info=True, **ours)
    wrong = sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])])
    if wrong:
        raise BadCheckpointError(
            f"{who}: {folder} of {model} lacks {len(wrong)} tensors or has them in another shape, such as {wrong[0]}"
        )
    return network


def load_tokenizer(kind: Any, who: str, model: str, folder: str, vocabulary: int) -> Any:
    """A tokenizer whose tokens its text encoder knows; transformers makes one without words where there are no files.

    Raises:
        BadCheckpointError: it has no words, or more than the `vocabulary` of the text encoder.
        MissingWeightsError: it is not on this machine and cannot be fetched.
    """
    with _explained(who, model, folder):
        tokenizer = kind.from_pretrained(model, subfolder=folder)
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= vocabulary:
        raise BadCheckpointError(
            f"{who}: the tokenizer of {model} knows {len(tokenizer)} tokens, its text encoder {vocabulary}"
        )
    return tokenizer


def load_scheduler(who: str, model: str, folder: str, flow: bool) -> Any:
    """The scheduler of a folder.

    Raises:
        UsageError: it is not of a flow, or not of a chain of betas.
        BadCheckpointError: there is none that can be read.
        MissingWeightsError: it is not on this machine and cannot be fetched.
    """
    with _explained(who, model, folder):
        config = DDIMScheduler.load_config(model, subfolder=folder)
        name = config.get("_class_name", "")
        kind = getattr(diffusers, name, None)
        is_flow = name == "FlowMatchEulerDiscreteScheduler" or bool(config.get("use_flow_sigmas"))
        if kind is not None and (is_flow if flow else "beta_schedule" in config and not is_flow):
            return kind.from_config(config)
    wanted = "FlowMatchEulerDiscreteScheduler, or one with use_flow_sigmas" if flow else "one with a chain of betas"
    raise UsageError(f"{who} needs {wanted}: the scheduler of {model} is {name or 'nameless'}")


@contextmanager
def quiet() -> Iterator[None]:
    """Neither library logs or warns in here; what users should know, rewardkit says."""
    before = logging.get_verbosity(), diffusers.logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    diffusers.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before[0])
        diffusers.logging.set_verbosity(before[1])


@contextmanager
def _without_bar(model: str) -> Iterator[None]:
    """transformers shows one for every model, however small; downloads keep theirs."""
    shown = logging.is_progress_bar_enabled() and Path(model).is_dir()
    if shown:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _explained(who: str, model: str, folder: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The `local_dir_use_symlinks`")  # between diffusers and the hub
            yield
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, OSError) and not Path(model).is_dir():
            raise MissingWeightsError(f"{who} cannot fetch {folder} of {model}: {reason}") from None
        raise BadCheckpointError(f"{who} cannot load {folder} of {model}: {reason}") from None
