"""The site's navigation: pages in the order in which they are read, and every new page without a word here."""

from pathlib import Path
from typing import Any

ORDER = [
    "index.md",
    "tutorial.md",
    "how-to",
    "reference",
    "how-it-measures.md",
    "statistics.md",
    "benchmarks.md",
    "paper.md",
    "aids.md",
    "transports.md",
    "comparison.md",
    "where-tried.md",
    "glossary.md",
]
TITLES = {"how-to": "How to", "reference": "Reference"}


def on_config(config: Any) -> Any:
    """Called by mkdocs; sets `nav`."""
    config["nav"] = nav(Path(config["docs_dir"]))
    return config


def nav(docs: Path) -> list[Any]:
    """Pages and folders of pages: those of ORDER first, the others by name."""
    found = [p.name for p in docs.iterdir() if p.suffix == ".md" or any(p.glob("*.md"))]
    listed = [name for name in ORDER if name in found]
    return [
        {TITLES.get(name, name.capitalize()): _pages(docs / name)}
        if (docs / name).is_dir()
        else name
        for name in (*listed, *sorted(set(found) - set(listed)))
    ]


def _pages(folder: Path) -> list[str]:
    return [f"{folder.name}/{path.name}" for path in sorted(folder.glob("*.md"))]
