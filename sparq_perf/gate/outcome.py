"""What the gate concludes of a whole comparison, and the exit code that follows."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, computed_field, model_validator

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.judging import wanting
from sparq_perf.gate.metrics import Metric
from sparq_perf.gate.verdicts import VERDICTS, Judgement, Method, Verdict
from sparq_perf.records.line import Text
from sparq_profiles.load import describe
from sparq_profiles.quantity import Frozen

ExitCode = Literal[0, 1, 2]
EXIT_GREEN: ExitCode = 0
EXIT_REGRESSED: ExitCode = 1
EXIT_NOT_JUDGED: ExitCode = 2


class Side(Frozen):
    """One of the two revisions.

    Attributes:
        label: what the user calls it: a revision, a file.
        n_runs: processes that measured it.
        began, ended: of the first and the last of them; None where that was not recorded.
        commits: that the runs recorded.
        device, fingerprint: what it was measured on; None where that was not recorded.
    """

    label: Text
    n_runs: int = Field(ge=0)
    began: datetime | None = None
    ended: datetime | None = None
    commits: tuple[str, ...] = ()
    device: str | None = None
    fingerprint: str | None = None


class Outcome(Frozen):
    """Everything that the gate says of one comparison.

    Attributes:
        green: verdicts that do not fail the gate.
        remarks: about the comparison as a whole: what was not compared, and what a reader should know.
    """

    schema_version: Literal[1] = 1
    record: Literal["gate"] = "gate"
    method: Method
    base: Side
    candidate: Side
    green: tuple[Verdict, ...]
    judgements: tuple[Judgement, ...]
    remarks: tuple[Text, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> ExitCode:
        """0 all is green; 1 something got worse; 2 something could not be judged, or nothing was."""
        verdicts = {judgement.verdict for judgement in self.judgements}
        if "REGRESSED" in verdicts:
            return EXIT_REGRESSED
        return EXIT_GREEN if verdicts and verdicts <= set(self.green) else EXIT_NOT_JUDGED

    @computed_field  # type: ignore[prop-decorator]
    @property
    def counts(self) -> dict[Verdict, int]:
        """How often each verdict was given."""
        given = Counter(judgement.verdict for judgement in self.judgements)
        return {verdict: given[verdict] for verdict in VERDICTS}

    @property
    def wanting(self) -> tuple[str, ...]:
        """Configurations that fresh pairs could still decide."""
        return wanting(self.judgements)

    @property
    def by_concern(self) -> tuple[Judgement, ...]:
        """The judgements, most alarming first; largest effect first among equals."""

        def concern(judgement: Judgement) -> tuple[int, float]:
            evidence = judgement.evidence
            return VERDICTS.index(judgement.verdict), -evidence.effect if evidence else 0.0

        return tuple(sorted(self.judgements, key=concern))

    @model_validator(mode="before")
    @classmethod
    def _derived_are_derived(cls, data: Any) -> Any:
        # Written for readers of the file; what counts on reading are the judgements.
        derived = ("exit_code", "counts")
        return {k: v for k, v in data.items() if k not in derived} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _no_regression_is_green(self) -> "Outcome":
        if "REGRESSED" in self.green:
            raise ValueError("REGRESSED cannot be green")
        tests = [(judgement.key, judgement.metric) for judgement in self.judgements]
        if len(set(tests)) < len(tests):
            raise ValueError("a configuration and metric is judged twice")
        return self


def complete(judgements: Sequence[Judgement], expected: Iterable[tuple[str, Metric]]) -> tuple[Judgement, ...]:
    """The judgements, and an INVALID one for every test that was expected and has none: a lost test is no pass."""
    judged = {(judgement.key, judgement.metric) for judgement in judgements}
    lost = [test for test in dict.fromkeys(expected) if test not in judged]
    missing = (
        Judgement(key=key, metric=metric, verdict="INVALID", reasons=("was measured in base and not judged",))
        for key, metric in lost
    )
    return (*judgements, *missing)


def read_outcome(path: Path) -> Outcome:
    """What the gate wrote as JSON.

    Raises:
        GateError: no such file, or another program's.
    """
    try:
        return Outcome.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise GateError(describe(error, str(path))) from None
    except (OSError, ValueError, RecursionError) as error:
        raise GateError(f"{path}: cannot be read as the gate's JSON ({error}): write it with 'gate --json'") from None
