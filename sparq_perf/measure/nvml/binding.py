"""The one door to nvidia-ml-py, and the one place that says what NVML's refusals mean."""

from collections.abc import Callable
from typing import Any, TypeVar

from sparq_perf.records.reading import Absence, AbsenceKind, Reading

T = TypeVar("T")

# nvmlReturn_t of nvml.h, whose numbers are its ABI. What is not here is "failed", with NVML's own words.
KINDS: dict[int, AbsenceKind] = {
    3: "not_supported",
    4: "no_permission",
    9: "driver_missing",
    12: "driver_missing",  # libnvidia-ml.so.1 is part of the driver
    13: "not_supported",  # function not found: the driver is older than the binding
    15: "gpu_lost",
    16: "gpu_lost",  # requires a reset
    17: "no_permission",  # the operating system blocks it: a cgroup, as in containers
    22: "not_supported",  # ECC of a virtual GPU
    25: "not_supported",  # argument version mismatch: the driver knows another version of the struct
    26: "not_supported",  # deprecated
    28: "no_device",
}

FINAL: frozenset[AbsenceKind] = frozenset({"not_supported", "no_permission", "mig"})


class Refusal(Exception):
    """NVML gave no value; ``absence`` says why, and ``code`` is NVML's where it was asked."""

    def __init__(self, kind: AbsenceKind, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.absence, self.code = Absence(kind=kind, detail=detail), code


class Library:
    """nvidia-ml-py, started; every refusal becomes a `Refusal`.

    Raises:
        Refusal: it is not installed, there is no driver, or NVML does not start.
    """

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            raise Refusal("library_missing", "nvidia-ml-py is not installed") from None
        self._module = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            raise Refusal("driver_missing", "libnvidia-ml.so.1 was not found on this machine") from None
        except pynvml.NVMLError as error:
            raise self._refusal("NVML did not start", error) from None

    def ask(self, asked: str, function: str, *arguments: object) -> Any:
        """Call a function of NVML.

        Args:
            asked: what for, in words that an absence repeats.
            function: its name; that nvidia-ml-py may be too old to have it is one of the refusals.
            arguments: for it; strings that begin with ``NVML_`` stand for nvidia-ml-py's constants.

        Raises:
            Refusal: why it gave nothing.
        """
        call = self.named(asked, function)
        values = [
            self.named(asked, each) if isinstance(each, str) and each.startswith("NVML_") else each
            for each in arguments
        ]
        try:
            return call(*values)
        except self._module.NVMLError as error:
            raise self._refusal(f"{asked}: {function}", error) from None

    def named(self, asked: str, name: str) -> Any:
        """A function or constant of nvidia-ml-py.

        Raises:
            Refusal: this version has none of that name.
        """
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise Refusal("not_supported", f"{asked}: this nvidia-ml-py has no {name}") from None

    def check(self, asked: str, code: int) -> None:
        """Judge a return code that a struct carries.

        Raises:
            Refusal: it is not that of success.
        """
        if code:
            raise self._refusal(asked, self._module.NVMLError(code))

    def shut_down(self) -> None:
        """Undo one start; NVML counts them. What it answers does not matter any more."""
        try:
            self._module.nvmlShutdown()
        except self._module.NVMLError:
            return

    def _refusal(self, asked: str, error: Any) -> Refusal:
        return Refusal(KINDS.get(error.value, "failed"), f"{asked}: {error}", error.value)


def reading(look: Callable[[], T]) -> Reading[T]:
    """What ``look`` returns, or why it was refused."""
    try:
        return Reading.of(look())
    except Refusal as refusal:
        return Reading(absence=refusal.absence)


def is_final(answer: Reading[Any]) -> bool:
    """Whether asking again is in vain: the answer will be the same for as long as the process lives."""
    return answer.absence is not None and answer.absence.kind in FINAL
