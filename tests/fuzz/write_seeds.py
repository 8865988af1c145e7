"""Writes the good files that fuzzing begins from, and those of known tricks: `python -m tests.fuzz.write_seeds`.

Each is small, since changes in what is large rarely hit what matters. Files that fuzzing found lie beside them, are
called `found-...`, and are never written again.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn

from rewardkit.scoring.parquet import write_parquet
from rewardkit.scoring.rows import PartScore, ScoreHeader, ScoreRow
from tests.fuzz.targets import LORA, RAN, SEEDS

WIDTH, HEIGHT, FRAMES = 32, 24, 8


def main() -> None:
    for target, files in FILES.items():
        (SEEDS / target).mkdir(parents=True, exist_ok=True)
        for name, content in files().items():
            (SEEDS / target / name).write_bytes(content)


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 7, y * 9, x + y + 20 * number], axis=-1).astype(np.uint8)


def film(container: str, codec: str, pix_fmt: str = "yuv420p", movflags: str = "", **options: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"movflags": movflags} if movflags else {}) as out:
        stream = out.add_stream(codec, rate=8, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, pix_fmt, 4
        for number in range(FRAMES):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        out.mux(stream.encode(None))
    return file.getvalue()


def still(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(0)).save(file, kind, **options)
    return file.getvalue()


def numpy_file(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def torch_file(content: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def videos() -> dict[str, bytes]:
    frames = np.stack([picture(number)[:6, :8] for number in range(FRAMES)])
    turned = Image.Exif()
    turned[0x0112] = 3
    more = [Image.fromarray(picture(number)) for number in range(1, FRAMES)]
    return {
        "h264.mp4": film("mp4", "libx264", crf="40"),
        "fragments.mp4": film("mp4", "libx264", crf="40", movflags="frag_keyframe+empty_moov"),
        "hevc.mp4": film("mp4", "libx265", crf="40", **{"x265-params": "log-level=none"}),
        "mpeg4.mp4": film("mp4", "mpeg4", bf="2"),
        "h264.mkv": film("matroska", "libx264", crf="40"),
        "vp9.webm": film("webm", "libvpx-vp9", **{"cpu-used": "8"}),
        "vp8.webm": film("webm", "libvpx"),
        "mjpeg.avi": film("avi", "mjpeg", "yuvj420p"),
        "h264.ts": film("mpegts", "libx264", crf="40"),
        "mpeg2.ts": film("mpegts", "mpeg2video"),
        "film.gif": film("gif", "gif", "rgb8"),
        "film.webp": still("webp", save_all=True, append_images=more, duration=125, quality=10),
        "still.webp": still("webp"),
        "bytes.npy": numpy_file(frames),
        "floats.npy": numpy_file((frames.transpose(0, 3, 1, 2) / 255).astype(np.float32)),
        "bytes.pt": torch_file(torch.from_numpy(frames)),
        "halves.pt": torch_file(torch.from_numpy(frames).half() / 255),
        "picture.png": still("png"),
        "picture.jpg": still("jpeg", exif=turned),
    }


def manifests() -> dict[str, bytes]:
    table = [("path", "prompt"), ("a.mp4", "a red circle"), ("b/c.mp4", ""), ("d, e.mp4", 'say "hi"')]
    records = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    comma = 'path,prompt\na.mp4,a red circle\nb/c.mp4,\n"d, e.mp4","say ""hi"""\n'
    return {
        "good.csv": comma.encode(),
        "marked.csv": b"\xef\xbb\xbfvideo,caption,seed\r\na.mp4,caf\xc3\xa9,1\r\n",
        "good.tsv": b"file_name\ttext\na.mp4\ta red circle\n",
        "good.jsonl": "".join(json.dumps(record) + "\n" for record in records).encode(),
        "list.json": json.dumps(records).encode(),
        "object.json": json.dumps({record["path"]: record["prompt"] for record in records}).encode(),
    }


def configs() -> dict[str, bytes]:
    score = {"source": ["videos/"], "reward": "technical", "frames": "uniform:8", "batch_size": 4, "seed": 1}
    training = '[lora]\nrank = 8\n[objective]\nkind = "draft"\n[guards]\nevery = 10\n'
    return {
        "good.score.yaml": "".join(f"{key}: {json.dumps(value)}\n" for key, value in score.items()).encode(),
        "good.score.toml": "".join(f"{key} = {json.dumps(value)}\n" for key, value in score.items()).encode(),
        "good.training.toml": f"steps = 20\nlearning_rate = 1e-4\ntrackers = ['wandb']\n{training}".encode(),
        "good.training.yaml": b"steps: 20\nmax_grad_norm: null\nlora: &lora {rank: 8, targets: [to_q, to_k]}\n",
    }


def suites() -> dict[str, bytes]:
    folder = Path(__file__).parents[2] / "rewardkit/bench/defaults"
    bundled = {f"good.{path.stem}.toml": path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    rewards = "rewards: [exposure]\nvideos:\n- {name: a, source: a/}\n- {name: b, source: b/}\ncompare: [a, b]\n"
    backbones = "rewards: [exposure]\nentries:\n- {name: x, folder: films}\nfilms: {prompts: {held-out: p.txt}}\n"
    return bundled | {"good.rewards.yaml": rewards.encode(), "good.backbones.yaml": backbones.encode()}


class Code:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (RAN,)


def checkpoints() -> dict[str, bytes]:
    weights = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2).half(), "steps": torch.tensor(7)}
    wrapped = {"state_dict": OrderedDict(weights), "epoch": 3, "best": np.float64(0.5)}
    plain = torch_file(weights)
    squeezed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as archive, zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as small:
        for name in archive.namelist():
            small.writestr(zipfile.ZipInfo(name), archive.read(name), zipfile.ZIP_DEFLATED)
    script = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.rand(1, 3)), script)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x/data.pkl"), pickle.dumps(Code(), protocol=2))
        archive.writestr(zipfile.ZipInfo("x/constants.pkl"), pickle.dumps(()))
    return {
        "plain.safetensors": save(weights),
        "plain.pt": plain,
        "wrapped.pth": torch_file(wrapped),
        "old.pth": torch_file(wrapped, zipped=False),
        "squeezed.pt": squeezed.getvalue(),
        "script.pt": script.getvalue(),
        "code.pt": torch_file({"state_dict": weights, "hook": Code()}),
        "code-old.pth": torch_file({"state_dict": weights, "hook": Code()}, zipped=False),
        "code-pickle.pkl": pickle.dumps(Code(), protocol=2),
        "code-script.pt": code.getvalue(),
    }


def training() -> dict[str, bytes]:
    lora = {name: torch.ones(shape) for name, shape in LORA.items()}
    moments = {f"{number}.step": torch.tensor(1.0) for number in range(len(lora))}
    for name in ("exp_avg", "exp_avg_sq"):
        moments |= {f"{number}.{name}": torch.ones(shape) for number, shape in enumerate(LORA.values())}
    state = {"step": 1, "statistics": {"a red circle": [1.0, 2.0]}, "looks": []}
    return {
        "good.lora.safetensors": save(lora, {"step": "1"}),
        "good.optimiser.safetensors": save(moments),
        "good.state.json": json.dumps(state).encode(),
    }


def rows() -> dict[str, bytes]:
    whole: dict[str, Any] = {"prompt_source": "none", "prompt": None, "reward": "exposure", "num_frames": 8, "fps": 8.0}
    scored = PartScore(score=0.5, per_frame=[0.25, 0.75], frame_index=[0, 4], weights=[1.0, 1.0])
    some = [
        ScoreRow(key="k1", path="a.mp4", status="ok", **whole, **scored.model_dump()),
        ScoreRow(key="k2", path="b.mp4", status="ok", score=0.5, frame_index=[0, 4], parts={"x": scored}, **whole),
        ScoreRow(key="k3", path="c\udcff.mp4", status="error", error="'c' is empty (0 bytes)", **whole),
    ]
    header = ScoreHeader(
        reward="exposure",
        fingerprint="f",
        cwd="/",
        configuration={"seed": 0},
        versions={"torch": "2"},
        weights_sha256={},
        device="cpu",
        dtype="float32",
        platform="Linux",
        created="2026-11-23 18:08 UTC",
    )
    table = io.BytesIO()
    write_parquet(some, table)
    return {
        "good.jsonl": "".join(json.dumps(row.model_dump()) + "\n" for row in some).encode(),
        "good.jsonl.header.json": header.model_dump_json(indent=2).encode(),
        "good.parquet": table.getvalue(),
    }


def specs() -> dict[str, bytes]:
    lines = {
        "sum.reward.txt": "0.7*exposure[frames=segments:4,pick=first;reduce=min] + 0.3*flicker",
        "difference.reward.txt": "exposure - 0.5*contrast[weights=attenuate:1.0;normalise=fixed:0.5,2]",
        "learned.reward.txt": "hpsv2.1[frames=first;preprocess=exact]",
        "segments.part.txt": "segments:4,pick=first",
        "index.part.txt": "index:0,4,-1",
        "attenuate.part.txt": "attenuate:1.0,normalise=true",
        "quantile.part.txt": "quantile:0.25",
        "fixed.part.txt": "fixed:0.5,2",
    }
    return {name: line.encode() for name, line in lines.items()}


FILES: dict[str, Callable[[], dict[str, bytes]]] = {
    "video": videos,
    "manifest": manifests,
    "config": configs,
    "suite": suites,
    "checkpoint": checkpoints,
    "training": training,
    "rows": rows,
    "spec": specs,
}

if __name__ == "__main__":
    main()
