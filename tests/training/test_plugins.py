"""Parts from outside the checkout, through the real loader: what they need, what is said of broken ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from outside_parts import ANNOTATOR, METHOD
from places import CHECKOUT

from analysis.figures import FIGURES
from reward_models.annotators import ANNOTATORS
from reward_models.gold import GOLDS
from training.config.catalogue import catalogue
from training.config.load import load, resolved_yaml
from training.config.schema import Experiment
from training.engine.plan import plan
from training.errors import UserError
from training.methods import METHODS
from training.mitigations import MITIGATIONS
from training.plugins import load_plugins
from training.worlds import WORLDS

REGISTRIES: tuple[Any, ...] = (ANNOTATORS, GOLDS, METHODS, MITIGATIONS, WORLDS)

CONFIG = """
name: x
plugins: [{plugins}]
world: {{type: quiz}}
proxies: {{one: {{pairs: 30}}}}
runs: {{path: {{}}}}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and registries as they were before."""
    parts, figures = [dict(r.parts) for r in REGISTRIES], dict(FIGURES)
    monkeypatch.chdir(tmp_path)
    yield
    FIGURES.clear()
    FIGURES.update(figures)
    for registry, before in zip(REGISTRIES, parts, strict=True):
        registry.parts.clear()
        for part in before.values():
            registry.register(part)


def configured(plugins: str, more: str = "", file: str = "x.yaml") -> Path:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(plugins=plugins) + more)
    return path


def experiment(path: Path, *overrides: str) -> Experiment:
    (resolved,) = load(path, list(overrides))
    return resolved.config


def said(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path, list(overrides))
    return str(caught.value)


@pytest.mark.parametrize("named", ["my_annotators", "my_annotators.py"])
def test_an_annotator_is_one_file_and_one_line(named: str) -> None:
    Path("my_annotators.py").write_text(ANNOTATOR)
    config = experiment(configured(named, "annotator: {type: impatient, haste: 2}\n"))
    again = experiment(configured(named), "proxies.one.annotator={type: impatient, flip_rate: 0.1}")
    for annotator in (config.annotator, again.proxies["one"].annotator):
        assert type(annotator).__name__ == "Impatient"
    assert "Prefers the shorter completion." in catalogue()["annotators"]["impatient"]
    saved = Path("runs/x/config.yaml")
    saved.parent.mkdir(parents=True)
    saved.write_text(resolved_yaml(config))
    assert experiment(saved) == config


def test_its_mistakes_are_explained_as_those_of_any_part() -> None:
    Path("my_annotators.py").write_text(ANNOTATOR)
    path = configured("my_annotators", "annotator:\n  type: impatient\n  hast: 2\n")
    assert said(path) == "x.yaml:9: annotator.hast: unknown key; did you mean `haste`?"
    assert "did you mean `impatient`?" in said(path, "annotator={type: impatent}")


def test_its_code_is_part_of_what_names_an_artefact() -> None:
    Path("my_annotators.py").write_text(ANNOTATOR)
    config = experiment(configured("my_annotators", "annotator: {type: impatient}\n"))
    labels = {"labels": [stage for stage in plan(config).stages if stage.kind == "labels"]}
    assert all("my_annotators" in stage.code for stage in labels["labels"])
    assert not any("my_annotators" in stage.code for stage in plan(config).stages if stage.kind == "sft")
    assert plan(config).plugins == ("my_annotators",)


def test_naming_a_plugin_changes_nothing_by_itself() -> None:
    Path("my_annotators.py").write_text(ANNOTATOR)
    plain, named = experiment(configured("")), experiment(configured("my_annotators"))
    assert plain.identity() == named.identity()
    assert [stage.key for stage in plan(plain).stages] == [stage.key for stage in plan(named).stages]


def test_a_fresh_process_knows_the_part_once_it_has_loaded_the_plugins() -> None:
    """As a worker does, with the names from its job."""
    Path("elsewhere").mkdir()
    Path("elsewhere/my_method.py").write_text(METHOD)
    config = experiment(configured("elsewhere/my_method.py", "policy: {type: patience}\n"))
    code = (
        "import sys, pydantic; from training.plugins import load_plugins; load_plugins(sys.argv[1:]);"
        "from training.methods import AnyMethod;"
        "print(pydantic.TypeAdapter(AnyMethod).validate_python({'type': 'patience', 'steps': 3}).steps)"
    )
    command = [sys.executable, "-c", code, *config.plugins]
    assert subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True).stdout == "3\n"


def test_a_file_is_found_beside_the_config_that_names_it() -> None:
    Path("configs/parts").mkdir(parents=True)
    Path("configs/parts/my_annotators.py").write_text(ANNOTATOR)
    configured("parts/my_annotators.py", file="configs/base.yaml")
    Path("configs/papers").mkdir()
    derived = Path("configs/papers/x.yaml")
    derived.write_text("defaults: [base, _self_]\nannotator: {type: impatient}\n")
    config = experiment(derived)
    assert config.plugins == (str(Path("configs/parts/my_annotators.py").absolute()),)
    given = experiment(configured(""), "plugins=[configs/parts/my_annotators.py]", "annotator.type=impatient")
    assert given.plugins == config.plugins and given.annotator == config.annotator


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (None, "there is no module `my_broken` on Python's path or in "),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero ("),
        ("import nowhere", "cannot be imported: ModuleNotFoundError: No module named 'nowhere' ("),
        ("def f(:", "is not valid Python: invalid syntax (my_broken.py"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3 ("),
        (
            ANNOTATOR.replace('"impatient"', '"flip_noise"'),
            "cannot be imported: ValueError: annotator `flip_noise` is already registered, as "
            "reward_models.annotators.flip_noise.FlipNoise (",
        ),
    ],
)
def test_a_broken_plugin_has_one_message_with_its_place(module: str | None, expected: str) -> None:
    if module is not None:
        Path("my_broken.py").write_text(module)
    message = said(configured("my_broken"))
    assert message.startswith(f"x.yaml:3: plugins.0: plugin my_broken: {expected}") and "\n" not in message
    assert "cannot be imported" not in message or "my_broken.py:" in message


def test_all_broken_plugins_are_named_at_once() -> None:
    lines = said(configured("my_one, my_two.py")).splitlines()
    assert [line.partition(": plugin ")[0] for line in lines] == [
        "x.yaml:3: plugins.0",
        "x.yaml:3: plugins.1",
    ]


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [("my_own", "must be a list"), ("[3]", "plugins.0: must be a string")],
)
def test_what_is_no_list_of_names_is_refused(plugins: str, expected: str) -> None:
    assert f"plugins={plugins}: {expected}" in said(configured(""), f"plugins={plugins}")


def test_a_plugin_that_was_mended_can_be_loaded() -> None:
    Path("my_broken.py").write_text(ANNOTATOR + "\n1 / 0\n")
    path = configured("my_broken", "annotator: {type: impatient}\n")
    assert "ZeroDivisionError" in said(path)
    Path("my_broken.py").write_text(ANNOTATOR)
    assert experiment(path).annotator.type == "impatient"


def test_a_file_that_bears_the_name_of_something_else_is_refused() -> None:
    Path("json.py").write_text(ANNOTATOR)
    message = said(configured("json.py"))
    assert "`import json` finds" in message and "give the file another name" in message


def test_loading_twice_is_loading_once() -> None:
    Path("my_counter.py").write_text("import sys\nsys.my_count = getattr(sys, 'my_count', 0) + 1\n")
    load_plugins(["my_counter", "my_counter.py", str(Path("my_counter.py").absolute())])
    load_plugins(["my_counter"])
    assert vars(sys).pop("my_count") == 1


FIGURE = """
from analysis.figures import FIGURES
FIGURES["my_own"] = FIGURES["goodhart"]
"""


def test_a_plugin_cannot_take_the_name_of_a_figure_that_is_there() -> None:
    Path("my_goodhart.py").write_text(FIGURE.replace("my_own", "goodhart"))
    message = said(configured("my_goodhart.py"))
    assert "figure `goodhart` is already registered" in message and "my_goodhart.py:3" in message


def test_the_command_takes_plugins_for_what_it_lists(capsys: pytest.CaptureFixture[str]) -> None:
    from training import cli

    Path("my_figure.py").write_text(FIGURE)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["list", "--with", "my_figure.py"])
    assert exit_.value.code == 0 and "my_own" in capsys.readouterr().out


def test_a_report_has_the_figures_of_its_config_and_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import analysis.report.write
    from training import cli

    Path("my_figure.py").write_text(FIGURE)
    Path("my_other.py").write_text(FIGURE.replace("my_own", "my_second"))
    records = Path("runs/x")
    records.mkdir(parents=True)
    plugins = [str(Path("my_figure.py").absolute()), "my_lost"]
    (records / "config.yaml").write_text(yaml.safe_dump({"plugins": plugins}))
    drawn: list[set[str]] = []
    monkeypatch.setattr(analysis.report.write, "write_report", lambda _: drawn.append(set(FIGURES)))
    with pytest.raises(SystemExit) as exit_:
        cli.main(["report", str(records), "--with", "my_other.py"])
    assert exit_.value.code == 0 and {"my_own", "my_second"} <= drawn[0]
    assert "reported without what it registers: plugin my_lost: there is no module" in capsys.readouterr().err


def test_the_config_command_prints_what_a_plugin_part_defaults_to(capsys: pytest.CaptureFixture[str]) -> None:
    from training import cli

    Path("my_annotators.py").write_text(ANNOTATOR)
    with pytest.raises(SystemExit):
        cli.main(["config", str(configured("my_annotators", "annotator: {type: impatient}\n"))])
    printed = yaml.safe_load(capsys.readouterr().out)
    expected = {"type": "impatient", "judges": None, "temperature": 1.0, "flip_rate": 0.0, "haste": 1.0}
    assert printed["annotator"] == expected
