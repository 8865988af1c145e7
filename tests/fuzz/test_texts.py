"""Trees of strange values, written as manifests, settings, rows and lines."""

import csv
import io
import json
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.manifest import PATH_COLUMNS, PROMPT_COLUMNS
from rewardkit.scoring.rows import ScoreRow
from tests.fuzz.mutations import EDGES, HOSTILE, INTERESTING
from tests.fuzz.targets import run, seeds

SHORT = tuple(text for text in HOSTILE if len(text) < 500)
texts = st.text(max_size=20) | st.sampled_from(SHORT)
numbers = st.integers() | st.floats() | st.sampled_from(INTERESTING + EDGES)
scalars = st.none() | st.booleans() | numbers | texts
trees = st.recursive(
    scalars, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(texts, inside, max_size=3), max_leaves=5
)


def of(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, object]]:
    """Objects of which some names are right."""
    return st.dictionaries(st.sampled_from(names) | texts, trees, max_size=4)


quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@quick
@given(records=st.lists(of(PATH_COLUMNS + PROMPT_COLUMNS), max_size=4) | trees, kind=st.sampled_from(["json", "jsonl"]))
def test_manifests_of_json(tmp_path: Path, records: object, kind: str) -> None:
    lines = records if kind == "jsonl" and isinstance(records, list) else [records]
    run("manifest", tmp_path, kind, "\n".join(map(json.dumps, lines)).encode())


@quick
@given(
    rows=st.lists(st.lists(st.sampled_from(PATH_COLUMNS + PROMPT_COLUMNS) | texts, max_size=4), max_size=5),
    kind=st.sampled_from(["csv", "tsv"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_manifests_of_columns(tmp_path: Path, rows: list[list[str]], kind: str, quoting: int) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter="," if kind == "csv" else "\t", quoting=quoting).writerows(rows)
    run("manifest", tmp_path, kind, file.getvalue().encode(errors="surrogatepass"))


@quick
@given(values=of(tuple(ScoreConfig.model_fields)))
def test_settings_of_yaml(tmp_path: Path, values: dict[str, object]) -> None:
    run("config", tmp_path, "score.yaml", yaml.safe_dump(values).encode(errors="surrogatepass"))


@quick
@given(values=of(tuple(ScoreConfig.model_fields)))
def test_settings_of_toml(tmp_path: Path, values: dict[str, object]) -> None:
    """JSON's strings, numbers and lists are TOML's, too."""
    lines = (f"{json.dumps(name)} = {json.dumps(value)}" for name, value in values.items())
    run("config", tmp_path, "score.toml", "\n".join(lines).encode())


@quick
@given(changes=of(tuple(ScoreRow.model_fields)))
def test_rows(tmp_path: Path, changes: dict[str, object]) -> None:
    good = json.loads(seeds("rows")["good.jsonl"].splitlines()[0])
    run("rows", tmp_path, "jsonl", json.dumps(good | changes).encode() + b"\n")


words = st.sampled_from(
    ["exposure", "flicker", "0.5", "*", "+", "-", " ", "[", "]", "frames", "=", ";", ",", "first:1"]
)


@quick
@given(line=st.lists(words | texts, max_size=12).map("".join))
def test_reward_lines(tmp_path: Path, line: str) -> None:
    run("spec", tmp_path, "reward.txt", line.encode(errors="surrogatepass"))


@quick
@given(
    name=st.sampled_from(["segments", "index", "quantile", "attenuate", "fixed", "all"]) | texts,
    values=st.lists(numbers.map(str) | texts | st.sampled_from(["pick=first", "normalise=true", "q="]), max_size=4),
)
def test_part_lines(tmp_path: Path, name: str, values: list[str]) -> None:
    run("spec", tmp_path, "part.txt", f"{name}:{','.join(values)}".encode(errors="surrogatepass"))


def test_the_values_reach_the_readers(tmp_path: Path) -> None:
    """What is right among them is read: they are not all refused at the first character."""
    assert run("manifest", tmp_path, "jsonl", json.dumps({"path": "a.mp4", "prompt": "x", "\0": 1}).encode()) == "ok"
    assert run("config", tmp_path, "score.toml", b'"seed" = 3') == "ok"
