"""Pages from templates: one file each, that asks the network for nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from rewardkit.bench.pages.numerals import duration, fixed
from rewardkit.errors import UsageError

_HERE = Path(__file__).parent


def render(template: str, styles: Sequence[str], scripts: Sequence[str], **words: object) -> bytes:
    """The page, with all of those styles and scripts inside it. Whatever comes from users is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(fixed=fixed, duration=duration)
    html = environment.get_template(template).render(**_assets("style", styles), **_assets("script", scripts), **words)
    return _storable(html)


def check_page(out: Path) -> None:
    """Refuses a name that is no page's.

    Raises:
        UsageError: it ends in something else.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report is a page: give a name that ends in .html, got {out.name}")


def _assets(kind: str, names: Sequence[str]) -> dict[str, str]:
    """A style or script, and its hash: the page's policy allows these two and nothing else."""
    text = "\n".join((_HERE / name).read_text("utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return {kind: Markup(text), f"{kind}_hash": f"sha256-{digest}"}


def _storable(html: str) -> bytes:
    """As UTF-8. NUL, which browsers drop, and half characters, which file names can hold, become U+FFFD."""
    whole = html.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8")
