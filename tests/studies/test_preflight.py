from __future__ import annotations

import itertools
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from oldham.backends.base import BACKENDS, Backend
from oldham.core.errors import ConfigError, ModelError
from oldham.core.ledger import Ledger
from oldham.core.outcomes import Axis, Outcome
from oldham.core.records import Generation, ModelFingerprint, StopReason
from oldham.core.thinking import Span, ThinkingState
from oldham.judges.base import Planted
from oldham.judges.numeric import NumericJudge
from oldham.studies.preflight import Checked, check_study
from oldham.studies.run import run
from study_writer import Notes, study_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from oldham.backends.base import Request

    StudyFile = Callable[..., Path]

STUDY = """\
name: small
baseline: direct
defaults: {model: "faulty:model", answer_tokens: 10}
arms:
  direct:
  cot: {strategy: zero_shot_cot, thinking_tokens: 64}
benchmarks: [arithmetic:6, harmful:5]
"""


@dataclass
class Fault:
    """What is wrong with the faulty model; by default nothing is."""

    says: str = "Final answer: 7"
    thinks_for: int | None = None  # None keeps to the budget, -1 does not tell
    thinks_when_off: bool = False
    batch_bound: float = 0.0  # share of rows that start otherwise in a batch
    restless: bool = False
    breaks: str = ""  # rows of items whose id starts so fail
    cut: bool = False
    asked: list[Request] = field(default_factory=list)

    @property
    def probes(self) -> list[Request]:
        return [request for request in self.asked if request.trial.benchmark == "preflight"]


class FaultyBackend(Backend):
    """Answers with the same words, but for its fault."""

    fault: ClassVar[Fault]
    loads: ClassVar[int]

    @classmethod
    def identify(cls, model: str, server: object = None) -> ModelFingerprint:
        return ModelFingerprint(weights="w", adapter=None, template="t", dtype="float32", backend="faulty/1")

    @classmethod
    def load(cls, model: str, server: object = None) -> FaultyBackend:
        cls.loads += 1
        return cls()

    @property
    def fingerprint(self) -> ModelFingerprint:
        return self.identify("")

    @property
    def batch_size(self) -> int:
        return 8

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.fault.asked += requests
        many = round(self.fault.batch_bound * len(requests)) if len(requests) > 1 else 0
        return [self._row(request, beside=place < many) for place, request in enumerate(requests)]

    def _row(self, request: Request, *, beside: bool) -> Generation:
        fault, plan = self.fault, request.plan
        noise = next(_COUNTER) if fault.restless else 0
        failed = bool(fault.breaks) and request.trial.item.startswith(fault.breaks)
        thought = plan.thinks or fault.thinks_when_off
        trace = "I think. " if thought else ""
        kept = plan.thinking_tokens if plan.thinks else 3
        took = {None: kept, -1: None}.get(fault.thinks_for, fault.thinks_for)
        text = trace + fault.says
        return Generation(
            trial=request.trial,
            prompt_text="prompt",
            prompt_ids=(1,),
            output_text=text,
            output_ids=(9 if beside else 3, 4, noise),
            trace=Span(0, len(trace)) if thought else None,
            answer=Span(len(trace), len(text)),
            thinking_state=ThinkingState.COMPLETE if thought else ThinkingState.NONE,
            trace_stop=(StopReason.STOP if fault.thinks_for else StopReason.BUDGET_FORCED) if thought else None,
            stop=StopReason.ERROR if failed else StopReason.LENGTH if fault.cut else StopReason.STOP,
            error="out of memory" if failed else None,
            requested_thinking_tokens=plan.thinking_tokens,
            realised_thinking_tokens=took if thought else 0,
            prompt_tokens=1,
            trace_tokens=2 if thought else 0,
            answer_tokens=3,
            model=self.fingerprint,
            sampling=request.sampling,
            seed=request.seed,
            seconds=0.1,
        )


_COUNTER = itertools.count()


@pytest.fixture
def faulty() -> Iterator[Callable[..., Fault]]:
    def make(**settings: Any) -> Fault:
        FaultyBackend.fault, FaultyBackend.loads = Fault(**settings), 0
        return FaultyBackend.fault

    make()
    BACKENDS.register("faulty", FaultyBackend, summary="For tests.", citation="this project")
    yield make
    del BACKENDS._entries["faulty"]


@pytest.fixture
def study(tmp_path: Path, faulty: object, monkeypatch: pytest.MonkeyPatch) -> StudyFile:
    monkeypatch.chdir(tmp_path)
    return study_writer(tmp_path, STUDY)


def severities(checked: Checked) -> dict[str, str]:
    return {finding.check: finding.severity for finding in checked.findings}


def model_of(study: Path) -> Checked:
    return list(check_study(study))[1]


def n_stored(run_dir: Path) -> int:
    with Ledger(run_dir / "ledger.sqlite", read_only=True) as ledger:
        return len(ledger.generation_ids()) + len(ledger.failures())


def test_a_sound_model_passes_and_what_was_not_looked_at_is_said(study: StudyFile) -> None:
    assert severities(model_of(study())) == {
        "template": "note",
        "answers": "ok",
        "deterministic": "ok",
        "batches": "ok",
        "thinking off": "ok",
        "budgets": "ok",
        "cut answers": "ok",
    }


STOPPING = [
    (
        {"thinks_for": 40},
        "budgets",
        "2 of 2 traces are longer than their budget: `cot` was given 16 tokens and took 40",
    ),
    ({"batch_bound": 0.75}, "batches", "2 of 8 answers were equal alone and in a batch, and 6 differ from their first"),
    ({"thinks_when_off": True}, "thinking off", "Asked not to think, the model wrote a trace in 8 of 8 answers"),
    ({"breaks": "What"}, "answers", "1 of 8 short questions failed (out of memory)"),
    ({"breaks": "zero_shot_cot"}, "budgets", "2 of 2 short thinking probes failed (out of memory)"),
    ({"says": " "}, "answers", "8 of 8 short questions were answered with nothing"),
    ({"says": "<|x|>\ufffd\ufffd..."}, "answers", "None of 8 short answers is language"),
    ({"restless": True}, "deterministic", "0 of 8 greedy answers were equal when the same batch was asked twice"),
]


@pytest.mark.parametrize(("fault", "check", "says"), STOPPING)
def test_a_run_stops_before_its_first_row(
    study: StudyFile, faulty: Callable[..., Fault], fault: dict[str, Any], check: str, says: str
) -> None:
    made = faulty(**fault)
    path = study()
    with pytest.raises(ModelError, match=r"model `faulty:model`.*--no-preflight") as caught:
        run(path)
    assert says in caught.value.message
    assert made.asked == made.probes, "no trial of the study was asked"
    assert n_stored(path.parent / "runs" / "small") == 0
    assert severities(model_of(path))[check] == "stop"


def test_a_stop_is_looked_at_again_once_it_is_mended(study: StudyFile, faulty: Callable[..., Fault]) -> None:
    faulty(says="")
    with pytest.raises(ModelError, match="answered with nothing"):
        run(study())
    faulty()
    assert run(study()).n_generated == 22


@pytest.mark.parametrize(
    ("fault", "replacements", "check", "says"),
    [
        ({"thinks_for": -1}, [], "budgets", "does not tell how long it thought (2 of 2 probes)"),
        ({"thinks_for": 0}, [], "budgets", "None of 2 probes wrote a trace"),
        ({"thinks_for": 2}, [("  cot:", "  more: {strategy: zero_shot_cot}\n  cot:")], "doses", "Budgets of 4 and 16"),
        ({"batch_bound": 0.5}, [], "batches", "4 of 8 answers were equal alone and in a batch (4 differ"),
        ({"thinks_when_off": True}, [("strategy: zero_shot_cot, thinking_tokens: 64", "")], "thinking off", "8 of 8"),
        ({"cut": True}, [], "cut answers", "4 of 4 answers of `direct` are cut at 10 tokens; often cut too: `cot`"),
        ({"says": "Hm.<|im_end|>"}, [], "special tokens", "8 of 8 short answers hold special tokens"),
        ({"restless": True}, [("answer_tokens", "temperature: 0.7, answer_tokens")], "deterministic", "0 of 8"),
    ],
)
def test_what_readers_would_ask_is_a_note_and_a_fact_of_the_manifest(
    study: StudyFile,
    faulty: Callable[..., Fault],
    *,
    fault: dict[str, Any],
    replacements: list[tuple[str, str]],
    check: str,
    says: str,
) -> None:
    faulty(**fault)
    watch = Notes()
    result = run(study(*replacements), progress=watch)
    assert result.n_missing == 0
    assert [note for note in watch.notes if note.startswith("Warning: faulty:model: ") and says in note]
    manifest = json.loads((result.run_dir / "manifest.json").read_text())
    told = {f["check"]: f["severity"] for checked in manifest["preflight"] for f in checked["findings"]}
    assert told[check] == "warning"


@pytest.mark.parametrize(
    ("breaks", "severity", "says"),
    [("arithmetic-", "warning", "2 of 4 probes of `direct` failed"), ("", None, "")],
)
def test_some_failing_items_of_an_arm_do_not_stop_a_run(
    study: StudyFile, faulty: Callable[..., Fault], breaks: str, severity: str | None, says: str
) -> None:
    faulty(breaks=breaks)
    checked = model_of(study(("arithmetic:6, harmful:5", "arithmetic:2, harmful:2")))
    said = [f for f in checked.findings if "probes of `direct`" in f.sentence]
    assert [f.severity for f in said] == ([severity] if severity else [])
    assert all(says in f.sentence for f in said)
    assert not checked.stops


def test_an_arm_of_which_every_item_fails_stops_a_run(study: StudyFile, faulty: Callable[..., Fault]) -> None:
    faulty(breaks="arithmetic-")
    with pytest.raises(ModelError, match=r"4 of 4 probes of `direct` failed \(out of memory\).*1 more"):
        run(study(("arithmetic:6, harmful:5", "arithmetic:6")))


def test_checks_are_made_once_for_a_model_and_its_arms(study: StudyFile, faulty: Callable[..., Fault]) -> None:
    made = faulty()
    run(study())
    probes = len(made.probes)
    assert probes > 0
    assert FaultyBackend.loads == 1
    run(study())
    run(study(("arithmetic:6", "arithmetic:7")))
    assert len(made.probes) == probes, "nothing to generate, or nothing new about the model"
    result = run(study(("  direct:\n", "  direct:\n  brief: {system: Be brief.}\n")))
    assert len(made.probes) > probes, "a new arm is checked"
    assert len(json.loads((result.run_dir / "manifest.json").read_text())["preflight"]) == 2


def test_a_damaged_file_of_checks_is_made_anew(study: StudyFile, faulty: Callable[..., Fault]) -> None:
    result = run(study())
    (result.run_dir / "preflight.json").write_text('{"key": [')
    made = faulty()
    run(study(("arithmetic:6", "arithmetic:7")))
    assert made.probes


def test_checks_change_no_row(study: StudyFile, faulty: Callable[..., Fault], tmp_path: Path) -> None:
    made = faulty()
    run(study(), run_dir=tmp_path / "with")
    asked = [r for r in made.asked if r.trial.benchmark != "preflight"]
    made = faulty()
    run(study(), run_dir=tmp_path / "without", preflight=False)
    assert made.asked == asked, "the same requests in the same order"


def test_a_run_without_checks_says_so_until_they_are_made(study: StudyFile, faulty: Callable[..., Fault]) -> None:
    made = faulty(thinks_for=40)
    watch = Notes()
    result = run(study(), progress=watch, preflight=False)
    assert result.n_generated == 22
    assert not made.probes
    assert any("Not checked: the run was started with --no-preflight." in note for note in watch.notes)
    run(study())
    manifest = json.loads((result.run_dir / "manifest.json").read_text())
    assert [checked["skipped"] for checked in manifest["preflight"]] == [True, True]
    with pytest.raises(ModelError, match="longer than their budget"):
        run(study(("arithmetic:6", "arithmetic:7")))


def test_cut_answers_are_counted_on_stored_rows_where_there_are_some(
    study: StudyFile, faulty: Callable[..., Fault]
) -> None:
    run(study(), preflight=False)
    faulty(cut=True)
    cut = next(f for f in model_of(study()).findings if f.check == "cut answers")
    assert cut.sentence == "0 of 22 answers are cut at their limit."


def test_an_arm_that_writes_too_much_is_not_tried(study: StudyFile) -> None:
    checked = model_of(study(("answer_tokens: 10", "answer_tokens: 900")))
    cut = [f for f in checked.findings if f.check == "cut answers"]
    assert [f.severity for f in cut] == ["note"]
    assert "Not checked for `direct`, `cot`" in cut[0].sentence


def test_a_judge_that_is_wrong_stops_a_run(study: StudyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Planted(
        axis=Axis.REASONING, prompt="1 + 1?", answer="3", outcome=Outcome.CORRECT, reference={"answer": "2"}
    )
    monkeypatch.setattr(NumericJudge, "planted", (wrong,))
    with pytest.raises(ConfigError, match=r'judges: 1 of 1 planted cases.*"3" to "1 \+ 1\?"'):
        run(study())
    assert FaultyBackend.loads == 0


def test_a_model_of_rules_is_not_called_right(study: StudyFile) -> None:
    path = study(("faulty:model", "scripted:mixed"))
    started = time.perf_counter()
    checked = list(check_study(path))
    assert time.perf_counter() - started < 1.0
    assert severities(checked[1]) == {"model": "note"}
    assert run(path).n_generated == 22


TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
START = "{% endfor %}<|im_start|>assistant\n"
IGNORED_SWITCH = "{# enable_thinking #}{% for m in messages %}" + TURN + START
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + TURN
    + START
)
DEAF = "{% for m in messages %}{% if m.role != 'system' %}" + TURN + "{% endif %}" + START
OPENS = "{% for m in messages %}" + TURN + START + "<think>\n"


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: StudyFile) -> Callable[..., Checked]:
    """Check a real model with the small study, in one thread."""

    def check(model: str, *replacements: tuple[str, str]) -> Checked:
        import torch

        torch.set_num_threads(1)
        return model_of(study(("faulty:model", model), *replacements))

    return check


@pytest.mark.model
@pytest.mark.parametrize(
    ("template", "check", "severity", "says"),
    [
        (None, "batches", "ok", "8 of 8 answers were equal alone and in a batch."),
        (None, "budgets", "ok", "2 traces kept to their budget"),
        (None, "template", "ok", "by Oldham, not the template"),
        (OPENS, "template", "ok", "A trace is opened with <think> by the template and ends with </think>."),
        (IGNORED_SWITCH, "thinking off", "stop", "prompts with thinking on and off are the same"),
        (NO_SYSTEM, "system", "stop", "the template refuses it (no system role)"),
        (DEAF, "system", "stop", "leaves it out of the prompt"),
    ],
)
def test_a_real_template_and_decoder(
    tiny_model: Callable[..., Path],
    real: Callable[..., Checked],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    template: str | None,
    check: str,
    severity: str,
    says: str,
) -> None:
    monkeypatch.setenv("OLDHAM_DTYPE", "float32")
    monkeypatch.setenv("OLDHAM_CACHE", str(tmp_path / "cache"))
    folder = tiny_model(special=("<think>", "</think>"), **({"template": template} if template else {}))
    checked = real(f"path:{folder}", ("  cot:", "  brief: {system: Be brief.}\n  cot:"))
    found = [f for f in checked.findings if f.check == check]
    assert [f.severity for f in found] == [severity]
    assert says in found[0].sentence


@pytest.mark.slow
def test_the_embedded_model_passes_quickly(study: StudyFile, real: Callable[..., Checked]) -> None:
    real("smollm2")  # loads torch and, the first time, converts the weights
    started = time.perf_counter()
    checked = real("smollm2", ("answer_tokens: 10", "answer_tokens: 32"))
    seconds = time.perf_counter() - started
    sys.stdout.write(f"preflight of smollm2, loading included: {seconds:.1f} s\n")
    assert not checked.stops
    assert severities(checked)["budgets"] == "ok"
    assert seconds < 30
