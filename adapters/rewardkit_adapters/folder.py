"""A pipeline's folder, or its place on the hub: which pipeline it is of, and its parts, whole."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging

from rewardkit.errors import BadCheckpointError, MissingWeightsError, UsageError

INDEX = "model_index.json"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def check_pipeline(who: str, model: str, pipeline: str) -> None:
    """Looks up which pipeline a folder or repository holds, before anything large is loaded.

    Raises:
        UsageError: another, or none.
        MissingWeightsError: it is not on this machine and cannot be fetched.
    """
    here = Path(model).is_dir()
    if not here and not REPOSITORY.fullmatch(model):
        raise UsageError(f"{who}: no such folder: {model}")
    try:
        index = Path(model) / INDEX if here else Path(hf_hub_download(model, INDEX))
        found = json.loads(index.read_text())["_class_name"]
    except (LocalEntryNotFoundError, ConnectionError, TimeoutError):
        raise MissingWeightsError(
            f"{who} needs {model}, which is not on this machine and cannot be fetched now"
        ) from None
    except (HfHubHTTPError, OSError, ValueError, KeyError):
        raise UsageError(f"{who}: {model} is not in the layout of diffusers: it has no readable {INDEX}") from None
    if found != pipeline:
        raise UsageError(f"{who} takes a {pipeline}: {model} is a {found}")


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


def load_scheduler(kind: Any, who: str, model: str, folder: str) -> Any:
    """A scheduler of that kind with the settings of the folder's own.

    Raises:
        BadCheckpointError: there is none that can be read.
        MissingWeightsError: it is not on this machine and cannot be fetched.
    """
    with _explained(who, model, folder):
        return kind.from_pretrained(model, subfolder=folder)


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
