"""Writes the files that fuzzing begins from: `python -m tests.fuzz.write_seeds`.

Each is small, since changes in what is large rarely hit what matters. `bad-...` are known tricks and the cores of what
fuzzing found; whoever reads them must refuse them. Files kept as they were found are called `found-...`, and are not
written here. A file that is there stays as it is: cases are changes of these very bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewardkit.scoring.parquet import write_parquet
from rewardkit.scoring.rows import PartScore, ScoreHeader, ScoreRow
from tests.fuzz.seed_films import videos
from tests.fuzz.seed_weights import checkpoints, training
from tests.fuzz.targets import SEEDS


def main() -> None:
    for target, files in FILES.items():
        (SEEDS / target).mkdir(parents=True, exist_ok=True)
        for name, content in files().items():
            if not (SEEDS / target / name).exists():
                (SEEDS / target / name).write_bytes(content)


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
        "bad-nul.csv": b"path,prompt\na\0b.mp4,x\n",
        "bad-half.json": json.dumps([{"path": "\ud800.mp4", "prompt": "x"}]).encode(),
        "bad-digits.json": b'[{"path": "a.mp4", "prompt": ' + b"9" * 5000 + b"}]",
        "bad-columns.jsonl": json.dumps({"path": "a.mp4", "\x1b[2J" + "x" * 3000: "\r\n"}).encode(),
        "bad-nested.json": b"[" * 5000,
    }


def configs() -> dict[str, bytes]:
    score = {"source": ["videos/"], "reward": "technical", "frames": "uniform:8", "batch_size": 4, "seed": 1}
    training = '[lora]\nrank = 8\n[objective]\nkind = "draft"\n[guards]\nevery = 10\n'
    return {
        "good.score.yaml": "".join(f"{key}: {json.dumps(value)}\n" for key, value in score.items()).encode(),
        "good.score.toml": "".join(f"{key} = {json.dumps(value)}\n" for key, value in score.items()).encode(),
        "good.training.toml": f"steps = 20\nlearning_rate = 1e-4\ntrackers = ['wandb']\n{training}".encode(),
        "good.training.yaml": b"steps: 20\nmax_grad_norm: null\nlora: &lora {rank: 8, targets: [to_q, to_k]}\n",
        "bad-tag.score.yaml": b"seed: !!timestamp x\n",
        "bad-laughs.score.yaml": aliases("[", "]"),
        "bad-merges.score.yaml": aliases("{<<: [", "]}"),
        "bad-itself.score.yaml": b"seed: &a [*a]\n",
        "bad-brackets.score.yaml": b"{" * 3000,
        "bad-long-key.score.toml": b"a." * 4000 + b"a = 1\n",
        "bad-digits.score.toml": b"reward = 0x" + b"f" * 5000 + b"\n",
        "bad-digits.score.yaml": b"0x" + b"f" * 5000 + b": 1\n",
        "bad-escape.score.yaml": b'"\\e[2J\\r\\n": 1\n',
        "bad-value.score.yaml": b"seed: " + b"x" * 5000 + b"\n",
    }


def suites() -> dict[str, bytes]:
    folder = Path(__file__).parents[2] / "rewardkit/bench/defaults"
    bundled = {f"good.{path.stem}.toml": path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    rewards = "rewards: [exposure]\nvideos:\n- {name: a, source: a/}\n- {name: b, source: b/}\ncompare: [a, b]\n"
    backbones = "rewards: [exposure]\nentries:\n- {name: x, folder: films}\nfilms: {prompts: {held-out: p.txt}}\n"
    model = f"rewards: [exposure]\nentries: [{{name: x, backbone: wan, model: {'x' * 5000}}}]\n"
    unknown = bundled["good.methods.toml"] + b'[[methods]]\nname = "x"\nsettings = {stepz = 1}\n'
    return bundled | {
        "good.rewards.yaml": rewards.encode(),
        "good.backbones.yaml": backbones.encode(),
        "long-name.backbones.yaml": model.encode(),
        "bad-setting.methods.toml": unknown,
    }


def aliases(begin: str, end: str) -> bytes:
    """Ten lines, each of ten times the one before."""
    lines = [f"- &x{line} {begin}{', '.join([f'*x{line - 1}'] * 10)}{end}" for line in range(1, 10)]
    return "\n".join(["seed:", "- &x0 {a: 1}", *lines]).encode()


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
        "bad-digits.jsonl": b'{"key": ' + b"9" * 5000 + b"}\n",
        "bad-nested.jsonl": b"[" * 5000 + b"\n",
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
        "bad-spaces.reward.txt": "exposure" + " " * 5000 + "*",
        "bad-digits.reward.txt": "1" * 6000,
        "bad-infinite.reward.txt": "1e999*exposure",
        "bad-length.reward.txt": "a" * 10001,
        "bad-escape.reward.txt": "\x1b[2J",
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
