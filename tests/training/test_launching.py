"""The command itself: grids, and several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.model


@pytest.fixture
def file(tmp_path: Path, tiny_model: Callable[..., Path]) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"name: tiny\nmodel: path:{tiny_model()}\ndata: [{{source: premises, n: 24}}]\nsteps: 4\nbatch_size: 2\n"
        "max_length: 128\nlora: {r: 2}\n",
        encoding="utf-8",
    )
    return path


def test_a_grid_trains_what_is_missing_and_says_which(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oldham.cli import app

    monkeypatch.chdir(tmp_path)
    command = ["train", "sft", str(file), "--set", "vary={seed: [0, 1]}", "--set", "doses=[2]"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    folders = [tmp_path / "runs" / "sft" / "tiny" / f"seed={seed}" for seed in (0, 1)]
    told = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert [manifest["settings"]["seed"] for manifest in told] == [0, 1]
    assert told[0]["adapters"]["step-000004"]["sha256"] != told[1]["adapters"]["step-000004"]["sha256"]
    assert "Run 2 of 2: seed=1" in first.stderr
    (folders[1] / "manifest.json").unlink()
    again = CliRunner().invoke(app, command)
    assert again.stderr.count("nothing was trained") == 1
    assert again.stdout == first.stdout
    assert json.loads((folders[1] / "manifest.json").read_text())["adapters"] == told[1]["adapters"]


@pytest.mark.sleeps
def test_of_several_processes_one_writes(file: Path, tmp_path: Path) -> None:
    # `accelerate launch` starts processes on a CPU only through MPI; this is what it starts them with on GPUs.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    out = tmp_path / "run"
    command = [*launch, "-m", "oldham", "train", "sft", str(file), "--out", str(out), "--set", "doses=[2]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["2 steps", "4 steps"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["adapters"]) == {"step-000002", "step-000004"}
    # Two processes took two examples each a step: four steps are 16 of the 24.
    (last,) = [row for row in manifest["log"] if "train_runtime" in row]
    assert last["epoch"] == pytest.approx(16 / 24)
    assert not (out / "checkpoints").exists()


@pytest.mark.sleeps
@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("where", ["before the data", "before the first step"])
def test_where_the_first_process_refuses_the_others_end_without_a_word(
    file: Path, tmp_path: Path, tiny_model: Callable[..., Path], where: str
) -> None:
    out, says = tmp_path / "run", "holds a run with other settings"
    command = [sys.executable, "-m", "oldham", "train", "sft", str(file), "--out", str(out)]
    if where == "before the data":
        out.mkdir()
        (out / "settings.json").write_text('{"identity": "another"}')
    else:
        turns = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}"  # they never end
        command += ["--model", f"path:{tiny_model(template=turns)}"]
        says = "would not learn to stop"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [told | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=rank) for rank in ranks]
    first, other = (child.communicate(timeout=240)[1] for child in both)
    assert [child.returncode for child in both] == [2, 2], (first, other)
    assert says in first
    assert "oldham:" not in other and "Traceback" not in other
