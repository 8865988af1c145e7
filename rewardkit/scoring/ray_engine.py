"""Scoring on Ray Data: tasks decode, actors hold the reward, on the processors and GPUs of one machine or of many."""

from __future__ import annotations

import functools
import io
import logging
import os
import pickle
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.machinery import PathFinder
from types import ModuleType, TracebackType
from typing import Any

import torch

from rewardkit.device import choose_device
from rewardkit.errors import MissingExtraError, RewardkitError, UsageError, first_line
from rewardkit.limits import Limits
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.decoding import Decoded, KeyedItem, Opener, decode, opener
from rewardkit.scoring.engines import ScoreOptions, ScoringEngine
from rewardkit.scoring.pipeline import BatchSize, score_decoded
from rewardkit.scoring.rows import ScoreRow

VIDEOS_A_TASK = 32
"""Decoded by one task, in order, and scored together: what is in a batch does not depend on how many machines work."""

LARGEST_SENT = 2**30
"""Bytes of frames sent from a task to an actor; of a longer video the actor decodes the frames itself."""

WEIGHT = 1024
"""Numbers from which on a tensor counts as weights, which only actors need."""

SECONDS_TO_ANSWER = 10.0

DECODE_MEMORY = 2**29
"""Bytes that Ray reckons with for a decoding task."""


class RayEngine(ScoringEngine):
    """Ray Data: on a cluster, or on this machine alone, where Ray is started for as long as this is open.

    Ray makes again what was lost with a process or a machine, and holds back decoding while the actors are busy.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the cluster cannot be reached, or has no such device.
    """

    def __init__(self, reward: Reward, device: str, options: ScoreOptions, address: str | None) -> None:
        self.reward, self._options = reward, options
        self._ray, self._own = _connected(address)
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"the engine ray takes the devices auto, cpu and cuda: got {device!r}")
        if device == "cuda" and not gpus:
            raise UsageError("the cluster of Ray has no GPU: take --device cpu")
        self._gpu = device != "cpu" and gpus > 0
        self.device = "cuda" if self._gpu else "cpu"
        processors = int(self._ray.cluster_resources().get("CPU", 1))
        self._actors = gpus if self._gpu else max(1, processors // 2)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            self._ray.shutdown()

    def rows(self, items: Sequence[KeyedItem]) -> Iterator[ScoreRow]:
        """One row a video, as they are done."""
        if not items:
            return
        self.reward.eval()
        batches = self._scored(items).iter_batches(batch_size=None, batch_format="numpy")
        try:
            for batch in batches:
                for row in batch["row"]:
                    yield pickle.loads(row)
        except self._ray.exceptions.RayError as error:
            raise RewardkitError(
                f"Ray has given up: {first_line(error)}; finished rows are safe, run the same command to go on"
            ) from None

    def _scored(self, items: Sequence[KeyedItem]) -> Any:
        from ray.data import ActorPoolStrategy, TaskPoolStrategy

        options, data = self._options, self._ray.data
        plan = _pickled(self.reward, weights=False)
        self._whole = self._ray.put(_pickled(self.reward, weights=True))  # kept for actors that start again
        chunks = [
            {"items": pickle.dumps(list(items[start : start + VIDEOS_A_TASK]))}
            for start in range(0, len(items), VIDEOS_A_TASK)
        ]
        workers = TaskPoolStrategy(size=None if options.num_workers == "auto" else options.num_workers)
        decoded = data.from_items(chunks, override_num_blocks=len(chunks)).map_batches(
            _decode_chunk, batch_size=None, fn_args=(plan, options), compute=workers, memory=DECODE_MEMORY
        )
        return decoded.map_batches(
            _Scorer,
            batch_size=None,
            fn_constructor_args=(self._whole, options, self._gpu),
            compute=ActorPoolStrategy(min_size=1, max_size=self._actors),
            num_cpus=0,  # else a machine of one processor would have none left to decode
            num_gpus=1 if self._gpu else 0,
        )


class _Scorer:
    """An actor: holds the reward and scores what tasks have decoded."""

    def __init__(self, whole: Any, options: ScoreOptions, gpu: bool) -> None:
        import ray

        self._device = choose_device("cuda" if gpu else "cpu")
        self._reward: Reward = pickle.loads(ray.get(whole)).to(self._device).eval()
        self._options, self._size = options, BatchSize(options.batch_size)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """The rows of a block."""
        decoded = (self._unpacked(packed) for packed in batch["decoded"])
        return {"row": [pickle.dumps(row) for row in score_decoded(decoded, self._reward, self._size, self._device)]}

    def _unpacked(self, packed: bytes) -> Decoded:
        decoded: Decoded
        decoded, frames = pickle.loads(packed)
        if frames is not None:
            return replace(decoded, frames=torch.from_numpy(frames))
        if decoded.error is None:  # too large to be sent
            return decode(self._reward, *_of_task(self._options), decoded.source)
        return decoded


def _decode_chunk(batch: Mapping[str, Any], plan: bytes, options: ScoreOptions) -> Iterator[dict[str, list[bytes]]]:
    """A task: decodes videos one by one, so that Ray cuts what is too much for one block."""
    reward = _light_reward(plan)
    for chunk in batch["items"]:
        for keyed in pickle.loads(chunk):
            decoded = decode(reward, *_of_task(options), keyed)
            frames = decoded.frames.numpy() if decoded.frames is not None else None
            sent = frames if frames is not None and frames.nbytes <= LARGEST_SENT else None
            yield {"decoded": [pickle.dumps((replace(decoded, frames=None), sent))]}


def _of_task(options: ScoreOptions) -> tuple[int, Any, bool, Opener]:
    return options.seed, options.alter, False, _opens(options.limits)


@functools.lru_cache(maxsize=1)
def _opens(limits: Limits) -> Opener:
    """What opens videos in this process of Ray, and goes with it."""
    return opener(limits).__enter__()


@functools.lru_cache(maxsize=1)
def _light_reward(plan: bytes) -> Reward:
    reward: Reward = pickle.loads(plan)
    return reward


def _pickled(reward: Reward, weights: bool) -> bytes:
    """A reward to send; without weights it can still say which frames it looks at, and what it is called.

    Code that other machines cannot import, such as that of a file of the user's, is sent along.
    """
    import ray

    cloudpickle: Any = ray.cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: object) -> Any:
            if not weights and isinstance(value, torch.Tensor) and value.numel() > WEIGHT:
                return functools.partial(torch.empty, tuple(value.shape), dtype=value.dtype, device="meta"), ()
            return super().reducer_override(value)

    own = {module for model in reward.models() if (module := _module_of(model)) is not None}
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        content = io.BytesIO()
        Pickler(content).dump(reward)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise UsageError(f"{reward.name} cannot be sent to other processes: {first_line(error)}") from None
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
    return content.getvalue()


def _module_of(model: object) -> ModuleType | None:
    """The module of a model's class where it cannot be imported by name."""
    name = type(model).__module__
    if name == "__main__" or PathFinder.find_spec(name.partition(".")[0]) is not None:
        return None  # the first of which is sent along anyway
    return sys.modules.get(name)


def _connected(address: str | None) -> tuple[Any, bool]:
    """Ray, and whether it is connected for this engine only."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("the engine ray", "ray[data]", "ray") from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours counts videos
    if ray.is_initialized():
        return ray, False
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        _check_reachable(address)
    options: dict[str, Any] = {"address": address or "local"}
    if address is None:  # its processes import what this one can
        options |= {"runtime_env": {"env_vars": {"PYTHONPATH": _own_places()}}, "include_dashboard": False}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"no cluster of Ray at {address}: {first_line(error)}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # Ray's own ends this process in the middle
    return ray, True


def _own_places() -> str:
    """Where this process finds modules beside those that are installed, which every process finds by itself."""
    places = dict.fromkeys([os.getcwd(), *filter(None, sys.path)])
    installed = (os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix))
    return os.pathsep.join(place for place in places if not os.path.realpath(place).startswith(installed))


def _check_reachable(address: str) -> None:
    """Refuses an address where nobody listens; Ray would try for many minutes."""
    named = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if named is None:  # `auto`, or a name that Ray knows
        return
    try:
        socket.create_connection((named[1], int(named[2])), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no cluster of Ray at {address}: {first_line(error)}") from None
