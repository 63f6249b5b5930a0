"""Tables between the marks of a page; what people wrote around them stays."""

from __future__ import annotations

from pathlib import Path

from crossi2p_core import atomic


def replace_between(page: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- name -->` and `<!-- /name -->`; a page without these gets them at its end."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = page.read_text()
    if first not in whole:
        whole = f"{whole.rstrip()}\n\n{first}\n{last}\n"
    before, _, rest = whole.partition(first)
    atomic.write_text(page, f"{before}{first}\n{text}\n{last}{rest.partition(last)[2]}")
