"""Data that cannot be used ends the command with one message, before any model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experiments import overopt

CONFIG = """
name: smoke
world: {{type: text, path: {data}}}
proxies: {{starved: {{pairs: 20}}}}
annotator: {{type: bradley_terry}}
gold: {{type: trained, pairs: 20}}
tracking: {{mode: disabled}}
"""
GOOD = [{"prompt": f"question {i} ?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(40)]


def lines(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


BAD = {
    "no such file": (None, "world.path: there is no file {data}"),
    "not JSON": (lines(GOOD[:3]) + b"{torn", "{data}:4: not JSON"),
    "a column is missing": (
        lines([{"prompt": r["prompt"], "choosen": r["chosen"], "rejected": r["rejected"]} for r in GOOD]),
        "{data} has no column 'chosen'; it has prompt, choosen, rejected; did you mean `choosen`?",
    ),
    "empty": (b"", "world.path: {data} has no rows"),
    "all the same": (
        lines([GOOD[0]] * 40),
        "world.shares.pairs: the pairs split of {data} has no usable row",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_unusable_data_is_one_message(tmp_path: Path, content: bytes | None, message: str) -> None:
    data, config = tmp_path / "data.jsonl", tmp_path / "x.yaml"
    if content is not None:
        data.write_bytes(content)
    config.write_text(CONFIG.format(data=data))
    result = overopt("run", str(config), f"paths.runs={tmp_path / 'runs'}")
    assert result.returncode == 2, result.stdout + result.stderr
    assert message.format(data=data) in result.stderr
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stdout + result.stderr
    assert "fine-tune" not in result.stdout
    assert not list((tmp_path / "runs").glob(".store/artefacts/*"))
