from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from oldham.core.errors import ConfigError
from oldham.core.records import ModelFingerprint
from oldham.core.steering import SteeringSpec, layer_of, read_header, steering_identity

if TYPE_CHECKING:
    from pathlib import Path

MODEL = ModelFingerprint(weights="w", adapter=None, template="t", dtype="float32", backend="b/1")


def write(path: Path, numbers: list[float], **said: str) -> Path:
    """Write a direction's file by hand, as the format's description has it."""
    data = struct.pack(f"<{len(numbers)}f", *numbers)
    tensor = {"dtype": "F32", "shape": [len(numbers)], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": said, "direction": tensor}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def spec(**said: Any) -> SteeringSpec:
    return SteeringSpec(**{"direction": "d", "mode": "add", **said})


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "d" / "direction.safetensors", [1.0, 2.0, 3.0], layer="7", weights="w", adapter="")
    header = read_header(tmp_path / "d")
    assert (header.width, header.layer, header.weights, header.adapter) == (3, 7, "w", None)
    assert header == read_header(tmp_path / "d" / "direction.safetensors")
    assert header.comes_from(MODEL)
    assert not header.comes_from(MODEL.model_copy(update={"adapter": "a"}))
    assert not header.comes_from(MODEL.model_copy(update={"weights": "other"}))


def test_layer_0_is_a_layer(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "d.safetensors", [1.0], layer="0")).layer == 0


def test_the_identity_is_of_the_numbers_and_not_of_the_file(tmp_path: Path) -> None:
    here = read_header(write(tmp_path / "a.safetensors", [1.0, 2.0], layer="7", weights="w"))
    moved = read_header(write(tmp_path / "b" / "direction.safetensors", [1.0, 2.0], layer="7", note="described anew"))
    other = read_header(write(tmp_path / "c.safetensors", [1.0, 2.5], layer="7"))
    first = steering_identity(spec(), here)
    assert first == steering_identity(spec(direction="elsewhere", allow_other_model=True), moved)
    assert first == steering_identity(spec(layer=7, coefficient=1), here)
    different = [
        steering_identity(spec(), other),
        steering_identity(spec(layer=8), here),
        steering_identity(spec(coefficient=-1.0), here),
        steering_identity(spec(mode="ablate"), here),
    ]
    assert all(first != identity for identity in different)
    assert len({json.dumps(identity) for identity in different}) == 4


def test_a_layer_must_be_known_only_to_add(tmp_path: Path) -> None:
    header = read_header(write(tmp_path / "d.safetensors", [1.0]))
    assert steering_identity(spec(mode="ablate"), header)["layer"] is None
    assert layer_of(spec(layer=3), header.layer) == 3
    with pytest.raises(ConfigError, match="which layer") as caught:
        steering_identity(spec(), header)
    assert "layer: N" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cut off"),
        (b"\xff" * 40, "cut off"),
        (struct.pack("<Q", 2) + b"{}", "no tensor 'direction'"),
        (struct.pack("<Q", 2) + b"[]", "indices"),
        (struct.pack("<Q", 4) + b"nope", "Expecting value"),
    ],
)
def test_a_file_that_is_no_direction_is_told(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "d.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_header(path)


@pytest.mark.parametrize(("kind", "shape"), [("BF16", [2]), ("F32", [1, 2]), ("F32", [3])])
def test_a_tensor_of_another_form_is_refused(tmp_path: Path, kind: str, shape: list[int]) -> None:
    header = json.dumps({"direction": {"dtype": kind, "shape": shape, "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "d.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ConfigError, match="F32 of shape"):
        read_header(path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.safetensors", [1.0, 2.0])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="holds no direction"):
        read_header(path)


def test_a_direction_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no direction") as caught:
        read_header(tmp_path / "nowhere")
    assert "oldham attribute direction" in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="There is no direction"):
        read_header(tmp_path / "empty")


@pytest.mark.parametrize("said", [{"coefficient": 0.5}, {"layer": 3}])
def test_ablation_reads_neither_coefficient_nor_layer(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="reads neither"):
        spec(mode="ablate", **said)
    assert spec(mode="ablate", coefficient=1.0, layer=None).coefficient == 1.0


@pytest.mark.parametrize("said", [{"coefficient": float("nan")}, {"coefficient": float("inf")}, {"layer": -1}])
def test_a_coefficient_is_finite_and_a_layer_counts_from_0(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**said)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ({"direction": "runs/directions/mine", "mode": "ablate"}, "ablate:mine"),
        ({"direction": "mine/direction.safetensors", "mode": "ablate"}, "ablate:mine"),
        ({"direction": "mine.safetensors", "coefficient": -1}, "add:-1:mine"),
        ({"direction": "mine", "coefficient": 0.5, "layer": 4}, "add:0.5:mine@4"),
    ],
)
def test_a_label_says_what_is_done(said: dict[str, Any], label: str) -> None:
    assert spec(**said).label == label
