"""The `overopt` command. Nothing heavy is imported before a command needs it: `--help` must be instant."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from training import environment
from training.errors import Diverged, Interrupted, UserError
from training.signals import ended_by_signals

FAILED, USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="overopt",
    help="Show what happens when a policy is optimised against an imperfect reward model.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as one a run saved.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings that replace the file's: policy.beta=0.1. A sweep: seed=range(0,3).",
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="PLUGIN",
        help="A module, or a .py file, with parts of your own (figures, probes, laws). May be repeated.",
    ),
]


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run and what would be reused, and why.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes for training; default: the config's.")
    ] = None,
) -> int:
    """Run an experiment, or a sweep of them.

    Stages that were finished before are reused, so the same command continues after an interruption.
    """
    from training.config.load import load

    experiments = [resolved.config for resolved in load(config, overrides or [])]
    if not dry_run:
        environment.require("run")

    from training.run import run as run_experiment
    from training.sweep import in_turn, sweep

    with _explained_records():
        if dry_run or len(experiments) == 1:
            outcomes = [run_experiment(e, workers=workers, dry_run=dry_run) for e in in_turn(experiments)]
            return max(outcome.status for outcome in outcomes)
        return sweep(experiments, lambda each: run_experiment(each, workers=workers))


@app.command()
def report(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="An experiment's records, such as runs/quickstart.")
    ],
    plugins: With = None,
) -> None:
    """Redraw an experiment's report from its records, also of one that is not finished."""
    from training.follow.folder import put_right
    from training.store.atomic import disk_errors

    _load_plugins(plugins)
    with _explained_records(), disk_errors(directory):
        from analysis.plugins import load_recorded
        from analysis.report.write import write_report

        put_right(directory)
        for problem in load_recorded(directory):
            print(f"reported without what it registers: plugin {problem}", file=sys.stderr)
        print(write_report(directory))


Questions = Annotated[
    Path,
    typer.Option(
        metavar="CSV", help="TruthfulQA.csv, or a file with its columns; overopt has none of its own."
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="How a question is put, with {question} in it and \\n for a new line. "
        'Default: the model\'s chat template, else "\\n\\nHuman: {question}\\n\\nAssistant:".',
    ),
]
Limit = Annotated[int | None, typer.Option(min=2, help="Use so many questions, drawn at random.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Sequences per forward pass.")]
AuditOut = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Also write the table, as CSV, JSON and a figure.")
]


@app.command("audit-rm")
def audit_rm(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of a reward model with its tokenizer.")
    ],
    questions: Questions,
    out: AuditOut = None,
    prompt: Prompt = None,
    limit: Limit = None,
    batch_size: BatchSize = 32,
) -> None:
    """Show what a reward model pays for besides the truth, before anything is optimised.

    Every question is answered right and wrong, confidently and hedged, padded, with praise, with a source, in
    bold, agreeing with the user or not, by template. Reported: how often each version wins, and how much
    wrongness confidence buys, with 95 % intervals resampled by question.
    """
    environment.require("audit-rm")
    from training.audit import measure
    from training.audit.show import show_biases, write

    found = measure.audit_reward_model(path, questions, prompt, limit, batch_size)
    show_biases(found)
    if out:
        write(found, out)


@app.command("audit-policy")
def audit_policy(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of a causal language model with its tokenizer.")
    ],
    questions: Questions,
    out: AuditOut = None,
    prompt: Prompt = None,
    limit: Limit = None,
    batch_size: BatchSize = 32,
) -> None:
    """Show how far a user's belief moves a language model's answers, without a judge.

    Every question is asked alone and with a hint (Sharma et al. 2023). Reported: the shift of log P(wrong) -
    log P(right) in nats and the share of answers that flip, over the questions whose right answer the model
    prefers when nothing is hinted, with 95 % intervals resampled by question.
    """
    environment.require("audit-policy")
    from training.audit import measure
    from training.audit.show import show_shifts, write

    found = measure.audit_policy(path, questions, prompt, limit, batch_size)
    show_shifts(found)
    if out:
        write(found, out)


@app.command()
def exact(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Records of an enumerable world, such as runs/enumerable.")
    ],
) -> None:
    """Show what was measured beside its exact value, where the world can be enumerated."""
    environment.require("exact")
    with _explained_records():
        from training.engine.worker import prepare
        from training.exact.compare import compare

        prepare()
        table = compare(directory)
        print(table.to_string(index=False, na_rep="-", float_format="{:.4f}".format))


@app.command("config")
def show_config(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="A YAML file; not needed with --schema.")
    ] = None,
    overrides: Overrides = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of every setting instead.")
    ] = False,
) -> None:
    """Print a config with every default spelled out.

    A sweep prints one YAML document for each of its experiments.
    """
    if schema:
        import json

        from training.config.schema import Experiment

        print(json.dumps(Experiment.model_json_schema(), indent=2, ensure_ascii=False))
        return
    if config is None:
        raise UserError("overopt config: name a CONFIG file, or ask for the --schema")
    from training.config.load import load, resolved_yaml

    print(
        "---\n".join(resolved_yaml(experiment.config) for experiment in load(config, overrides or [])), end=""
    )


@app.command("list")
def list_parts(plugins: With = None) -> None:
    """List what an experiment can be made of."""
    _load_plugins(plugins)
    from training.config.catalogue import catalogue

    for kind, parts in catalogue().items():
        print(kind)
        width = max(map(len, parts), default=0)
        for name, description in parts.items():
            print(f"  {name:<{width}}  {description}")


@app.command()
def doctor(
    runs: Annotated[
        Path, typer.Option("--runs", metavar="DIR", help="Where the records will be kept.")
    ] = Path("runs"),
) -> int:
    """Check what this machine has and lacks.

    Fails if something that `overopt run` needs is missing, and says what to install.
    """
    from training.doctor import examine, show

    findings = examine(runs)
    show(findings)
    return FAILED if any(finding.needed for finding in findings) else 0


def _load_plugins(names: list[str] | None) -> None:
    if names:
        from training.plugins import load_plugins

        load_plugins(names)


@contextmanager
def _explained_records() -> Iterator[None]:
    """Unreadable records are the user's to put right, like a bad config."""
    from analysis.records.contracts import RecordError

    try:
        yield
    except RecordError as error:
        raise UserError(str(error)) from error


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 a run failed, 2 the user can put it right, 128 + n signal n."""
    environment.apply(environment.PRIVATE)
    with ended_by_signals():
        sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    try:
        given = sys.argv[1:] if arguments is None else arguments
        outcome: Any = app(given or ["--help"], prog_name="overopt", standalone_mode=False)
    except UserError as error:
        print(error, file=sys.stderr)
        return USAGE
    except Diverged as error:
        print(error, file=sys.stderr)
        return FAILED
    except Interrupted as stop:
        with suppress(OSError):  # the terminal may be gone
            print(stop, file=sys.stderr)
        return stop.status
    except (KeyboardInterrupt, typer.Abort):
        outcome = INTERRUPTED
    except typer.TyperException as error:  # a mistyped option or command
        print(f"{error.format_message()}\nSee: overopt --help", file=sys.stderr)
        return error.exit_code
    if outcome == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    return int(outcome or 0)


if __name__ == "__main__":
    main()
