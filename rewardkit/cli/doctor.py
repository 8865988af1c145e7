"""`rewardkit doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rewardkit.cli.options import AsJson
from rewardkit.cli.progress import Bar

if TYPE_CHECKING:
    from rewardkit.doctor.finding import Finding


def doctor(as_json: AsJson = False) -> None:
    """Look at packages, device, codecs, folders and limits of this machine, and say how to mend what is amiss."""
    from dataclasses import asdict

    from rewardkit.cli.tables import echo_json
    from rewardkit.doctor.checks import CHECKS
    from rewardkit.doctor.examination import examine

    findings = []
    with Bar(quiet=as_json) as bar:
        for finding in examine():
            findings.append(finding)
            bar.at("checks", len(findings), len(CHECKS), finding.name)
    if as_json:
        echo_json([asdict(finding) for finding in findings])
    else:
        _echo(findings)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _echo(findings: list[Finding]) -> None:
    """A table, and below it what to do: a line alone for each, so that it can be pasted."""
    from collections import Counter

    from rewardkit.cli.tables import echo_table

    echo_table(("", "", ""), [(finding.state, finding.name, finding.found) for finding in findings])
    mends: dict[str, list[str]] = {}
    for finding in findings:
        if finding.mend:
            mends.setdefault(finding.mend, []).append(finding.name)
    for mend, names in mends.items():
        typer.echo(f"to mend {', '.join(names)}:\n    {mend}\n")
    count = Counter(finding.state for finding in findings)
    typer.echo(
        f"{count['ok']} of {len(findings)} checks found nothing amiss, "
        f"{count['warn']} something to know, {count['bad']} something bad"
    )
