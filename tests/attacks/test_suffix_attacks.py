from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oldham.attacks import AttackSpec, attack_of
from oldham.attacks.strings import FILE_NAME, ItemStrings, StringsFile, placed, read_strings
from oldham.benchmarks.load import load_items
from oldham.core.errors import ConfigError, DataError, OldhamError
from oldham.core.records import ModelFingerprint
from oldham.prompts import PromptOptions, dry_run, rehearse
from oldham.studies.plan import plan
from oldham.studies.shown import shown_calls
from oldham.studies.spec import Study

if TYPE_CHECKING:
    from oldham.attacks import Composed
    from oldham.core.records import Item

ITEMS = load_items("benign", 3)
MODEL = ModelFingerprint(weights="w", adapter=None, template="t", dtype="float32", backend="b")


def strings_of(item: Item, *strings: str, losses: tuple[float, ...] = (3.0, 1.0, 2.0)) -> ItemStrings:
    made = strings or (" one", " two", " three")
    return ItemStrings(
        benchmark=item.benchmark,
        item=item.id,
        item_fingerprint=item.fingerprint,
        target="Sure, here is a poem",
        plain_loss=5.0,
        start=" x x",
        start_loss=4.0,
        kept=(made[-1],),
        strings=made,
        losses=losses[: len(made)],
        sent_loss=1.0,
    )


def write(folder: Path, *items: ItemStrings, side: str = "after") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    found = StringsFile(
        oldham="0", model="path:model", fingerprint=MODEL, method="gcg", side=side, options={}, items=items
    )
    (folder / FILE_NAME).write_text(found.model_dump_json(), encoding="utf-8")
    return folder


def suffix(folder: Path, **knobs: Any) -> Composed:
    [attack] = AttackSpec.model_validate({"attack": "suffix", "strings": str(folder), **knobs}).attacks()
    return attack


def asked(attack: Composed, item: Item) -> str:
    [call] = rehearse(item, attack.program(item, PromptOptions(), seed=0)).calls
    return call.plan.messages[-1].content


def study(tmp_path: Path, attacks: str, benchmarks: str = "[benign:3]") -> Study:
    text = (
        "name: strings\n"
        f"benchmarks: {benchmarks}\ndefaults: {{model: smollm2}}\nbaseline: plain\n"
        f"arms: {{plain: {{}}}}\nattacks: {attacks}\n"
    )
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return Study.load(path)


def test_the_best_string_stands_right_after_the_request(tmp_path: Path) -> None:
    attack = suffix(write(tmp_path, *map(strings_of, ITEMS)))
    assert asked(attack, ITEMS[0]) == f"{ITEMS[0].prompt} two"


def test_a_prefix_stands_before_it(tmp_path: Path) -> None:
    attack = suffix(write(tmp_path, *map(strings_of, ITEMS), side="before"))
    assert asked(attack, ITEMS[0]) == f" two\n\n{ITEMS[0].prompt}"
    assert placed("request", "", "before") == placed("request", "", "after") == "request"


@pytest.mark.parametrize(("steps", "string"), [(0, ""), (1, " one"), (2, " two"), (3, " two"), (99, " two")])
def test_the_dose_is_how_long_was_searched(steps: int, string: str, tmp_path: Path) -> None:
    attack = suffix(write(tmp_path, *map(strings_of, ITEMS)), steps=steps)
    assert asked(attack, ITEMS[0]) == f"{ITEMS[0].prompt}{string}"
    assert attack.dose_value == steps
    assert attack.technique == f"suffix[strings={tmp_path.name}]"
    if not steps:
        calls = rehearse(ITEMS[0], attack.program(ITEMS[0], PromptOptions(), seed=0)).calls
        assert calls == dry_run(ITEMS[0], PromptOptions()).calls


def test_it_goes_with_other_attacks(tmp_path: Path) -> None:
    write(tmp_path, *map(strings_of, ITEMS))
    spec = AttackSpec.model_validate({"attack": "persona+suffix", "strings": str(tmp_path)})
    [attack] = spec.attacks()
    assert attack.meets(ITEMS[0])
    assert asked(attack, ITEMS[0]).endswith(" two")


def test_identity_is_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = suffix(write(tmp_path / "a" / "gcg", *map(strings_of, ITEMS)))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    moved = suffix(tmp_path / "b" / "gcg", missing="skip")
    other = suffix(write(tmp_path / "c" / "gcg", *(strings_of(item, " four") for item in ITEMS)))
    assert first.label == moved.label == other.label == "suffix[strings=gcg]"
    assert first.fingerprint == moved.fingerprint != other.fingerprint


def test_a_longer_search_that_found_nothing_better_is_the_same_attack(tmp_path: Path) -> None:
    known = [strings_of(item) for item in ITEMS]
    longer = [
        each.model_copy(update={"strings": (*each.strings, " worse"), "losses": (*each.losses, 9.0)}) for each in known
    ]
    first, second = suffix(write(tmp_path / "a", *known)), suffix(write(tmp_path / "b", *longer))
    assert first.fingerprint == second.fingerprint


def test_a_folders_name_fits_a_label(tmp_path: Path) -> None:
    attack = suffix(write(tmp_path / "a+b,c=d]", *map(strings_of, ITEMS)))
    assert attack.label == "suffix[strings=a-b-c-d-]"
    assert attack_of(attack.label).label == attack.label


def test_a_folder_can_be_named_by_its_file_and_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "gcg", *map(strings_of, ITEMS))
    monkeypatch.chdir(folder)
    named = [suffix(path) for path in (folder, folder / FILE_NAME, Path("../gcg"), Path("../gcg") / FILE_NAME)]
    assert {attack.label for attack in named} == {"suffix[strings=gcg]"}
    assert len({attack.fingerprint for attack in named}) == 1


@pytest.mark.parametrize("also", ["", "persona+"])
def test_two_folders_of_one_name_are_refused_by_their_paths(tmp_path: Path, also: str) -> None:
    for name in ("small/gcg", "large/gcg"):
        write(tmp_path / name, *map(strings_of, ITEMS))
    entry = f"{{attack: {also}suffix, strings: [small/gcg, large/gcg]}}"
    with pytest.raises(ConfigError, match="would both be told as") as caught:
        study(tmp_path, f"[none, {entry}]")
    assert all(str(tmp_path / name) in str(caught.value) for name in ("small/gcg", "large/gcg"))
    assert "study.yaml:" in str(caught.value) and "another name" in str(caught.value)
    (tmp_path / "large" / "gcg").rename(tmp_path / "large" / "gcg-large")
    entry = entry.replace("large/gcg", "large/gcg-large")
    labels = [wanted.label for wanted in study(tmp_path, f"[{entry}]").resolved_attacks]
    assert labels == [f"{also}suffix[strings={name}]" for name in ("gcg", "gcg-large")]


def test_one_folder_named_twice_is_one_attack_twice(tmp_path: Path) -> None:
    write(tmp_path / "gcg", *map(strings_of, ITEMS))
    with pytest.raises(ConfigError, match="is there twice"):
        study(tmp_path, "[{attack: suffix, strings: [gcg, gcg/strings.json]}]")


def test_items_without_a_string_refuse_the_study(tmp_path: Path) -> None:
    write(tmp_path / "gcg", strings_of(ITEMS[0]))
    with pytest.raises(ConfigError, match=r"no string for 2 of 3 items\.") as caught:
        plan(study(tmp_path, "[none, {attack: suffix, strings: gcg}]"), run_dir=tmp_path / "run")
    assert "study.yaml:" in str(caught.value) and "missing: skip" in str(caught.value)


def test_or_are_left_out_where_that_is_said(tmp_path: Path) -> None:
    write(tmp_path / "gcg", strings_of(ITEMS[0]))
    made = plan(study(tmp_path, "[none, {attack: suffix, strings: gcg, missing: skip}]"), run_dir=tmp_path / "run")
    met = [(planned.trial.attack, planned.item.id) for planned in made.trials]
    assert sorted(met) == sorted([("none", item.id) for item in ITEMS] + [("suffix[strings=gcg]", ITEMS[0].id)])


def test_strings_for_none_of_the_items_refuse_the_study_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "gcg")
    with pytest.raises(ConfigError, match="no string for 3 of 3 items"):
        plan(study(tmp_path, "[{attack: suffix, strings: gcg, missing: skip}]"), run_dir=tmp_path / "run")


def test_only_the_benchmarks_it_is_used_on_need_strings(tmp_path: Path) -> None:
    write(tmp_path / "gcg", *map(strings_of, ITEMS))
    entry = "[none, {attack: suffix, strings: gcg, only: [benign]}]"
    made = plan(study(tmp_path, entry, "[benign:3, arithmetic:2]"), run_dir=tmp_path / "run")
    assert sum(planned.trial.attack != "none" for planned in made.trials) == 3


def test_a_string_of_an_item_that_changed_is_not_used(tmp_path: Path) -> None:
    write(tmp_path, *(strings_of(item).model_copy(update={"item_fingerprint": "old"}) for item in ITEMS))
    attack = suffix(tmp_path)
    assert not attack.meets(ITEMS[0])
    with pytest.raises(ConfigError, match="no string for 3 of 3 items, 3 of them because the item has changed"):
        attack.check(ITEMS)


def test_the_folder_is_looked_for_beside_the_study_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(tmp_path / "gcg", *map(strings_of, ITEMS))
    loaded = study(tmp_path, "[{attack: suffix, strings: gcg, steps: [0, 3]}]")
    assert [wanted.label for wanted in loaded.resolved_attacks] == [
        "suffix[strings=gcg,steps=0]",
        "suffix[strings=gcg,steps=3]",
    ]


@pytest.mark.model
def test_what_is_sent_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "gcg", *map(strings_of, ITEMS))
    loaded = study(tmp_path, "[none, {attack: suffix, strings: gcg}]")
    [call] = shown_calls(loaded, "plain", ITEMS[0].id, "suffix[strings=gcg]")
    assert f"{ITEMS[0].prompt} two<" in "".join(piece.text for piece in call.pieces)


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"format": 1}', '{"format": 2}'])
def test_a_damaged_file_is_told_in_a_sentence(damage: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(damage, encoding="utf-8")
    with pytest.raises(DataError, match="file of strings cannot be read"):
        suffix(tmp_path).check(ITEMS)


def test_an_item_twice_and_lists_of_two_lengths_are_damage(tmp_path: Path) -> None:
    write(tmp_path, strings_of(ITEMS[0]), strings_of(ITEMS[1]))
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text().replace(ITEMS[1].id, ITEMS[0].id), encoding="utf-8")
    with pytest.raises(DataError, match="an item is there twice"):
        read_strings(tmp_path)
    with pytest.raises(ValueError, match="not as many strings as losses"):
        strings_of(ITEMS[0], losses=(1.0,))


def test_no_folder_and_none_of_that_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say where its strings are"):
        AttackSpec.model_validate("suffix").attacks()[0].check(ITEMS)
    with pytest.raises(ConfigError, match="no strings here"):
        suffix(tmp_path / "nowhere").check(ITEMS)
    for key, value in (("steps", -1), ("missing", "ignore"), ("no_such_knob", 1)):
        with pytest.raises(OldhamError, match=key):
            suffix(tmp_path, **{key: value})


@pytest.mark.parametrize("named", [".", "./", "..", "gcg/..", "strings.json", "../strings.json", "/"])
def test_a_folder_that_is_not_named_is_refused(tmp_path: Path, named: str) -> None:
    write(tmp_path / "gcg", *map(strings_of, ITEMS))
    with pytest.raises(ConfigError, match=r"`strings` of `suffix` cannot be .*: name the folder itself") as caught:
        study(tmp_path, f"[{{attack: suffix, strings: {named}}}]")
    assert "study.yaml:" in str(caught.value)


@pytest.mark.parametrize("named", ["gcg/.", "./gcg/", "other/../gcg", "../{parent}/gcg/strings.json"])
def test_a_folder_that_is_named_in_another_way_is_the_same(tmp_path: Path, named: str) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "gcg", *map(strings_of, ITEMS))
    [wanted] = study(tmp_path, f"[{{attack: suffix, strings: {named.format(parent=tmp_path.name)}}}]").resolved_attacks
    assert wanted.label == "suffix[strings=gcg]"
