"""The site builds, asks no host for anything, and says nothing that the program does not do."""

import re
import runpy
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from labctl import api
from labctl.campaign import dump_campaign, load_campaign, parse_campaign
from labctl.cli.reference import cli_page
from labctl.errors import CampaignError
from labctl.lab.fake import FakeLab, fake_lab
from labctl.results.raw import from_parquet
from tests.fakes import campaign
from tests.synthetic import fake_run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CLI = (DOCS / "reference" / "cli.md").read_text()
SECTIONS = dict(
    re.findall(r"^## `labctl ([a-z ]+)`$(.*?)(?=^## |\Z)", CLI, re.MULTILINE | re.DOTALL)
)
TEXTS = [*PAGES, ROOT / "README.md"]
CODE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


class Loaded(HTMLParser):
    """What a browser fetches to show a page: not where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
        self.found += [value or "" for name, value in attrs if name == names.get(tag)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: a warning ends it."""
    out = tmp_path_factory.mktemp("site")
    with (ROOT / "mkdocs.yml").open("rb") as file:
        build(load_config(file, site_dir=str(out), strict=True))
    return out


def test_the_tables_of_the_aids_are_those_of_the_run_that_is_kept() -> None:
    """`python scripts/aids_page.py` makes them."""
    script = runpy.run_path(str(ROOT / "scripts" / "aids_page.py"))
    text = script["PAGE"].read_text()
    kept = pd.read_csv(script["KEPT"])
    assert len(kept) == 108
    assert script["page"](text, kept) == text


def test_the_claims_of_the_paper_are_judged_by_the_run_that_is_kept() -> None:
    """`python scripts/paper_page.py` does it; the report beside it is of the same run."""
    script = runpy.run_path(str(ROOT / "scripts" / "paper_page.py"))
    text = script["PAGE"].read_text()
    kept = from_parquet(script["KEPT"])
    assert len(kept) == 204
    assert script["page"](text, kept) == text
    said = (DOCS / "paper-small-report.html").read_text()
    assert f"{len(kept)} of {len(kept)} planned trials are accounted for" in said


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in PAGES:
        name = page.relative_to(DOCS).with_suffix(".html")
        assert (site / name).is_file()
        assert f'href="{name}"' in index or name.name == "index.html"
    assert (site / "reference" / "campaign.schema.json").is_file()


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        outside = [what for what in Loaded(page.read_text()).found if re.match(r"(\w+:)?//", what)]
        assert outside == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text()), style


def test_the_page_of_the_command_line_is_what_the_program_says() -> None:
    """Else: python -m labctl.cli.reference > docs/reference/cli.md"""
    assert cli_page().rstrip("\n") + "\n" == CLI


def commands(text: str) -> list[list[str]]:
    """Each `labctl ...` that a page shows, in a line of code or in the text."""
    lines = re.findall(r"^(?:(?:    )+|(?:    )*\$ )labctl ([^\n]*)", text, re.MULTILINE)
    spans = re.findall(r"`labctl ([^`\n]+)`", text)
    return [shlex.split(said.replace("\\|", "|"), comments=True) for said in (*lines, *spans)]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(path: Path) -> None:
    shown = [words for words in commands(path.read_text()) if words]
    for words in shown:
        if words[0].startswith("-"):
            continue
        for verb in words[0].split(","):
            verbs = (
                words[1].split("|")
                if verb in {"lab", "metrics", "grafana"} and len(words) > 1
                else [""]
            )
            for below in verbs:
                said = SECTIONS.get(f"{verb} {below}".strip())
                assert said is not None, words
                options = [word.split("=")[0] for word in words if word.startswith("--")]
                assert [o for o in options if o not in said and o != "--log-file"] == [], words


def faults(text: str) -> str:
    """What labctl says of a file that is called as its campaign."""
    try:
        parse_campaign(text, f"{text.splitlines()[0].removeprefix('name: ')}.yaml")
    except CampaignError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_campaign_that_is_shown_whole_loads_or_its_faults_are_shown(path: Path) -> None:
    page = path.read_text()
    for kind, text in CODE.findall(page):
        if kind == "yaml" and text.startswith("name:"):
            assert faults(text) in page


def test_the_script_of_the_how_to_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """From its first line to its last, on a fake lab."""

    def open_lab(*_arguments: Any, **_named: Any) -> FakeLab:
        return fake_lab()

    monkeypatch.setattr(api, "open_lab", open_lab)
    monkeypatch.chdir(tmp_path)
    timing = {"baseline": "100ms", "settle": "100ms"}
    whole = {**campaign().model_dump(), "timing": timing}
    Path("move.yaml").write_text(dump_campaign(type(campaign()).model_validate(whole)))
    names: dict[str, Any] = {}
    blocks = [text for kind, text in CODE.findall((DOCS / "how-to" / "script.md").read_text())]
    for block in blocks:
        exec(compile(block, "script.md", "exec"), names)
    assert names["result"].exit_code == 0
    assert len(names["frame"]) == 1


README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_quickstart_and_leads_to_what_is_there() -> None:
    (shown,) = [text for kind, text in CODE.findall(README) if kind == "yaml"]
    quickstart = load_campaign(ROOT / "campaigns" / "quickstart.yaml")
    assert parse_campaign(shown).model_dump() == quickstart.model_dump()
    links = re.findall(r"\]\(([^)#]+)", README)
    assert [link for link in links if "://" not in link and not (ROOT / link).is_file()] == []
    assert len(README.splitlines()) <= 70, "one page"
    for target in re.findall(r"(?:^    |`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readmes_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fake_run(tmp_path / "runs")
    (block,) = [text for kind, text in CODE.findall(README) if kind == "python"]
    exec(compile(block, "README.md", "exec"), {})
    assert "precopy,write_rate=40MiBps" in capsys.readouterr().out
