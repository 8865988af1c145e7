"""The tables of the pages on speed and growth, read off benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from writing.tables import as_table, result

CALLS = {"hpsv2.1": "hpsv2.score", "imagereward": "ImageReward.score"}
MODELS = {"miniworld": "mini world", "wan": "Wan", "cogvideox": "CogVideoX", "modelscope": "ModelScope"}
WAYS = {
    "ours": "ours",
    "saving": "ours with the least memory",
    "no batch": "ours, guidance in two passes",
    "no keep": "ours, nothing kept",
    "detached": "autograd on in every step, the denoiser's output detached before the last; all frames decoded",
    "graphs": "the same, every graph living to the end",
    "tail:4": "ours, gradient through four steps",
    "tail:4 saving": "the same with the least memory",
    "kl": "ours, distance to the base model",
    "kl second model": "the same by a second denoiser",
}


def speed_tables() -> dict[str, str]:
    """By mark on the page."""
    scoring, step = result("scoring_speed"), result("step_speed")["models"]
    return {
        "speed start": _start(result("startup")),
        "speed roofline": _roofline(scoring),
        "speed share": _share(scoring),
        "speed official": _official(scoring),
        "speed scripts": _scripts(scoring),
        **{f"speed step {name}": _step(step[name]) for name in MODELS},
        "speed parts": _parts(step),
        **_gpu_tables(),
    }


def growth_tables() -> dict[str, str]:
    """By mark on the page."""
    curves = [curve for curve in result("growth")["curves"].values() if "lines" in curve]
    families = dict.fromkeys(curve["family"] for curve in curves)
    return {f"growth {of}": _growth([curve for curve in curves if curve["family"] == of]) for of in families}


def readme_speed() -> str:
    """What the README says of speed."""
    growth, scoring, step = result("growth")["curves"], result("scoring_speed"), result("step_speed")
    reading, loading = result("video_reading"), result("learned_memory")["loading"].values()
    videos, walked = growth["videos"], growth["walked"]
    memory = dict(zip(videos["points"], videos["lines"]["scored"]["processes"], strict=True))
    (of_walk,) = walked["lines"].values()
    rows = [
        (
            "4 frames of a 300-frame 1080p clip, against decoding all of it",
            f"{reading['sequential_over_sparse']:.1f} times faster",
            "video_reading",
        ),
        (
            "two decoding workers against one, scoring a folder",
            f"{growth['workers']['two_workers_over_one']:.1f} times faster",
            "growth",
        ),
        (
            "peak memory, scoring 10,000 clips against 100",
            f"{memory[10_000]:.0f} MB against {memory[100]:.0f} MB",
            "growth",
        ),
        (
            "the towers' share of the time, `hpsv2.1` from files to rows",
            f"{scoring['share']['found']['hpsv2 512x320']['share']:.0%}",
            "scoring_speed",
        ),
        (
            "the tower's speed, float32, over that of a big matrix product",
            f"{scoring['roofline']['found']['float32']['share_of_roof']:.0%}",
            "scoring_speed",
        ),
        *(
            (
                f"`{name}` at full size, 4 frames a video, float32, against the official `{call}`",
                f"{scoring['official']['found'][name]['official_score_over_ours']:.1f} times faster",
                "scoring_speed",
            )
            for name, call in CALLS.items()
        ),
        (
            "peak memory while `hpsv2.1` loads, over its weights in memory",
            f"at most {max(one['peak_over_weights'] for one in loading):.2f}",
            "learned_memory",
        ),
        (
            f"peak memory of a fine-tuning step, {walked['points'][-1]} walked steps against {walked['points'][0]}",
            f"{of_walk['megabytes'][-1] / of_walk['megabytes'][0]:.2f} times",
            "growth",
        ),
        *(
            (
                f"a fine-tuning step with a graph in every walked step and all frames decoded, {label}",
                f"{found['ways']['graphs']['time_over']:.1f} times the time, "
                f"{found['ways']['graphs']['memory_over']:.1f} times the memory",
                "step_speed",
            )
            for label, found in ((MODELS[name], found) for name, found in step["models"].items())
        ),
    ]
    return as_table(
        ("What", "Measured", "Command"), [(what, got, f"`python benchmarks/{by}.py`") for what, got, by in rows]
    )


def _start(found: Mapping[str, Any]) -> str:
    beyond, rows = found["seconds_beyond_torch"], []
    for what, seconds in found["seconds"].items():
        goals = [kind for kind in found["goals"] if what in found["goals"][kind]]
        goal = "".join(f"{found['goals'][kind][what]:g} {'beyond' if 'beyond' in kind else 'in all'}" for kind in goals)
        over = f"{beyond[what]:.2f}" if what in beyond else ""
        rows.append((f"`{what}`", f"{seconds:.2f}", over, goal))
    return as_table(("Process", "seconds", "beyond `import torch`", "goal, at most"), rows)


def _roofline(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            one["gigaflops_a_picture"],
            f"{one['pictures_a_second']:.2f}",
            one["matrix_product_gigaflops"],
            f"{one['share_of_roof']:.0%}",
            f"{found['goals'][f'roofline_{name}_at_least']:.0%}",
        )
        for name, one in found["roofline"]["found"].items()
    ]
    head = ("Precision", "GFLOP a picture", "pictures a second", "matrix product, GFLOP/s", "share of it", "goal")
    return as_table(head, rows)


def _share(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            one["frames_a_second"],
            f"{one['share']:.1%}",
            f"{one['share_with_floats']:.1%}",
            one["floats_over_bytes"],
        )
        for name, one in found["share"]["found"].items()
    ]
    head = ("Tower, clips", "frames a second", "tower's share", "with floats", "floats over bytes, time")
    return as_table(head, rows)


def _official(found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{name}`",
            f"`{call}`",
            f"{found['official']['found'][name]['official_score_over_ours']:.2f}",
            f"{found['official']['found'][name]['official_model_over_ours']:.2f}",
            found["official"]["found"][name]["greatest_difference"],
        )
        for name, call in CALLS.items()
    ]
    head = ("Reward", "Official call", "its time over ours", "its model's alone", "greatest difference of scores")
    return as_table(head, rows)


def _scripts(found: Mapping[str, Any]) -> str:
    words = {
        "ours": "`score_folder`",
        "sequential": "every frame decoded, ours after",
        "per frame": "every frame decoded, picture by picture through Pillow, prompt read each time",
    }
    rows = [
        (words[way], f"{one['seconds']:.2f}", f"{one['over_ours']:.2f}", one["greatest_difference"])
        for way, one in found["scripts"]["found"].items()
    ]
    return as_table(("Way", "seconds", "over ours", "greatest difference of scores"), rows)


def _step(found: Mapping[str, Any]) -> str:
    rows = [
        (
            WAYS[way],
            f"{one['seconds']:.2f}",
            f"{one['time_over']:.2f}",
            f"{one['megabytes']:,.0f}",
            f"{one['memory_over']:.2f}",
            one["gradient_difference"],
        )
        for way, one in found["ways"].items()
    ]
    head = ("Way to take the step", "seconds", "time ÷ ours", "MB", "memory ÷ ours", "gradient's difference")
    return as_table(head, rows)


def _parts(found: Mapping[str, Any]) -> str:
    parts = {name: found[name]["parts"] for name in MODELS}
    rows = [(part, *(f"{one[part]['share']:.1%}" for one in parts.values())) for part in parts["wan"]]
    return as_table(("Part of the step's time", *MODELS.values()), rows)


def _gpu_tables() -> dict[str, str]:
    """By mark on the page."""
    found = result("gpu")
    rows = {row["name"]: row for row in found["rows"]}
    missing = [f"{name}: {row['status']}, {row['why']}" for name, row in rows.items() if row["status"] != "ok"]
    done = {name: row for name, row in rows.items() if row["status"] == "ok"}
    machine = f"{found['device'].removeprefix('cuda, ')}, torch {found['torch']}, {found['host']}."
    return {
        "speed gpu machine": f"{machine} Without a number: {'; '.join(missing) or 'nothing'}.\n",
        "speed gpu tower": _gpu_tower([row for name, row in done.items() if name.startswith("tower")]),
        "speed gpu call": _gpu_call(done["hpsv2's call, restated"]),
        "speed gpu scoring": _gpu_scoring(done["score_folder"]),
        "speed gpu step": _gpu_step([row for name, row in done.items() if name.startswith("step")]),
    }


def _gpu_tower(rows: Sequence[Mapping[str, Any]]) -> str:
    batches = list(dict.fromkeys(batch for row in rows for batch in row["frames_a_second"]))
    table = [
        (
            row["name"].removeprefix("tower, "),
            *(f"{row['frames_a_second'][batch]:,.0f}" if batch in row["frames_a_second"] else "" for batch in batches),
            f"{row['matrix_product_tflops']:.0f}",
            f"{row['share_of_roof'][batches[-1]]:.0%}",
        )
        for row in rows
    ]
    head = [f"pictures a second, {batch} at once" for batch in batches]
    return as_table(("Precision", *head, "matrix product, TFLOP/s", f"share of it, {batches[-1]} at once"), table)


def _gpu_call(row: Mapping[str, Any]) -> str:
    official = row["seconds"]["official score"]
    table = [
        (name, f"{seconds:.3f}", f"{official / seconds:.1f}", f"{row['greatest_difference'].get(name, 0):.1e}")
        for name, seconds in row["seconds"].items()
        if name != "official score"
    ]
    head = ("Ours in", "seconds", "the official call's time over it", "greatest difference of scores")
    return as_table(head, table)


def _gpu_scoring(row: Mapping[str, Any]) -> str:
    ways = {name: found for name, found in row.items() if isinstance(found, Mapping)}
    table = [
        (
            name,
            f"{found['frames_a_second']:,.0f}",
            f"{found['reward_share_of_time']:.0%}",
            f"{found['tower_share_of_time']:.0%}",
        )
        for name, found in ways.items()
    ]
    return as_table(("Decoding by", "frames a second", "reward's share of the time", "tower's"), table)


def _gpu_step(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = list(rows[0]["seconds"])
    table = []
    for row in rows:
        model, way = row["name"].removeprefix("step, ").split(", ", 1)
        frames, height, width = row["film"]
        seconds = [f"{row['seconds'][part]:.2f}" for part in parts]
        most, share = f"{row['peak_gigabytes']:.1f}", f"{row['share_of_roof']['walk']:.0%}"
        table.append(
            (model, f"{frames} of {height}x{width}", way, *seconds, f"{row['seconds_of_all']:.2f}", most, share)
        )
    head = ("Generator", "Film", "Memory", *parts, "all, seconds", "peak, GB", "denoiser's share of a matrix product")
    return as_table(head, table)


def _growth(curves: Iterable[Mapping[str, Any]]) -> str:
    """A row for each line: its points, its costs, and whether they grow as theory says."""
    rows = []
    for curve in curves:
        points = ", ".join(f"{point:,}" for point in curve["points"])
        for line, found in curve["lines"].items():
            row = [f"{curve['grows']}, {line}" if line else curve["grows"], points]
            for cost, growth in (("seconds", "time"), ("megabytes", "memory")):
                row += [", ".join(f"{one:,.3g}" for one in found[cost]), *_verdict(found[growth])]
            rows.append(row)
    return as_table(
        ("What grows", "Points", "Seconds", "time, expected", "time, found", "MB", "memory, expected", "memory, found"),
        rows,
    )


def _verdict(found: Mapping[str, Any]) -> tuple[str, str]:
    """What theory says, and what was found: an exponent where that is linear, else the greatest over the first."""
    measure = found["measure"]
    if measure is None:
        words = "does not grow"
    else:
        words = f"{measure:.2f} times" if found["theory"] == "constant" else f"exponent {measure:.2f}"
    return found["theory"], words if found["met"] else f"**no: {words}**"
