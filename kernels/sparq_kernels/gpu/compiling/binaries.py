"""What a compiled kernel needs, read from the binary and the listings that the vendors' tools make of it."""

import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from sparq_profiles.errors import SparqPerfError

# "REG:32 STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:568 TEXTURE:0 …"
_FIELD = re.compile(r"([A-Z]+(?:\[\d+\])?):(\d+)")
_NEEDED = ("REG", "STACK", "SHARED", "LOCAL")
# "        /*00d0*/              @!P0 LDG.E.128 R4, desc[UR6][R8.64] ;"
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", re.MULTILINE)
_MEMORY = {"LD", "LDG", "LDGSTS", "LDL", "LDS", "ST", "STG", "STL", "STS"}
# LD and ST take generic addresses. Triton addresses global and shared memory by LDG, LDS and the like: what is left
# is the stack, where LLVM packs vectors of booleans. No LDL or STL shows those.
_LOCAL = ("LDL", "STL", "LD", "ST")
_DEFAULT_BITS = "32"
_WIDTH = re.compile(r"(?:U|S)?(8|16|32|64|128|256)")
_AMD_NEEDED = (
    "vgpr_count",
    "sgpr_count",
    "vgpr_spill_count",
    "sgpr_spill_count",
    "private_segment_fixed_size",
    "group_segment_fixed_size",
)


class BinaryError(SparqPerfError):
    """A vendor's tool that fails, or a listing that does not say what it always said."""


def run_tool(tool: str, *arguments: str, binary: bytes) -> str:
    """What one of NVIDIA's tools prints about a cubin.

    Raises:
        BinaryError: the tool cannot be started, or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(binary)
        try:
            done = subprocess.run([tool, *arguments, str(path)], capture_output=True, text=True, check=False)
        except OSError as error:
            raise BinaryError(f"{tool}: it cannot be started: {error.strerror}: reinstall triton") from error
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
        raise BinaryError(f"{tool} {' '.join(arguments)}: exit code {done.returncode}: {reason[-1]}")
    return done.stdout


def parse_resource_usage(text: str, kernel: str) -> dict[str, int]:
    """What ``cuobjdump --dump-resource-usage`` says of one kernel: ``REG``, ``STACK``, ``SHARED``, ``LOCAL``, ….

    STACK and LOCAL are bytes of local memory of one thread, SHARED the static bytes of one block.

    Raises:
        BinaryError: the kernel, or one of those four numbers, is not in the text.
    """
    lines = iter(text.splitlines())
    for line in lines:
        if line.split() == ["Function", f"{kernel}:"]:
            usage = {name: int(value) for name, value in _FIELD.findall(next(lines, ""))}
            missing = [name for name in _NEEDED if name not in usage]
            if missing:
                raise BinaryError(f"cuobjdump: function {kernel}: {', '.join(missing)} is not in its resource usage")
            return usage
    raise BinaryError(f"cuobjdump: function {kernel} is not in the resource usage: {text.strip()[:200]!r}")


def instruction_mix(sass: str) -> Counter[str]:
    """How often each instruction stands in a listing of SASS (not how often it runs).

    Memory instructions carry the bits of one lane, ``LDG.128``, ``STS.16``; of the others the modifiers are dropped:
    ``LDGSTS.64``, ``LDG.128``, ``LDL.32``, ``STG.32``, ``BAR``, ``SHFL``, ``FFMA``, ``HMMA``, ``ATOMG``, ….
    """
    mix: Counter[str] = Counter()
    for opcode in _INSTRUCTION.findall(sass):
        name, *modifiers = opcode.split(".")
        if name in _MEMORY:
            widths = [found[1] for modifier in modifiers if (found := _WIDTH.fullmatch(modifier))]
            name = f"{name}.{widths[-1] if widths else _DEFAULT_BITS}"
        mix[name] += 1
    return mix


def local_instructions(mix: Counter[str]) -> int:
    """Loads and stores of local memory, which spilled registers and arrays on the stack cost."""
    return sum(count for name, count in mix.items() if name.partition(".")[0] in _LOCAL)


def parse_amdgcn(text: str) -> dict[str, int]:
    """Registers, spills, scratch and LDS of the one kernel in a listing of AMD assembly, from its metadata.

    Keys as in the metadata, without the dot: ``vgpr_count``, ``sgpr_count``, ``vgpr_spill_count``, ….

    Raises:
        BinaryError: there is no metadata, it describes several kernels, or a number is missing.
    """
    start, end = text.find(".amdgpu_metadata"), text.find(".end_amdgpu_metadata")
    if start < 0 or end < start:
        raise BinaryError("amdgcn: the assembly holds no .amdgpu_metadata")
    usage: dict[str, int] = {}
    for name in _AMD_NEEDED:
        found = re.findall(rf"^[\s-]*\.{name}:\s*(\d+)\s*$", text[start:end], re.MULTILINE)
        if len(found) != 1:
            raise BinaryError(f"amdgcn: .{name} stands {len(found)} times in the metadata: it must stand once")
        usage[name] = int(found[0])
    return usage
