"""What the compilers say, read without a GPU: by hand where a number follows from the rules, else on toy kernels."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparq_kernels.gpu.compiling.binaries import (
    BinaryError,
    instruction_mix,
    local_instructions,
    parse_amdgcn,
    parse_resource_usage,
    run_tool,
)
from sparq_kernels.gpu.compiling.record import CompiledKernel
from sparq_kernels.gpu.compiling.table import Table, TableError, differences, unfit
from sparq_kernels.gpu.compiling.targets import TARGETS, find_target, occupancy
from sparq_profiles import ConfigError

HERE = Path(__file__).parent
NVIDIA = [name for name, target in TARGETS.items() if target.backend == "cuda"]

# cuobjdump --dump-resource-usage of CUDA 13, sm_90.
RESOURCE_USAGE = """
Resource usage:
 Common:
  GLOBAL:0
 Function kern:
  REG:40 STACK:16 SHARED:0 LOCAL:0 CONSTANT[0]:380 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function k:
  REG:18 STACK:0 SHARED:1024 LOCAL:8 CONSTANT[0]:568 CONSTANT[3]:16 TEXTURE:0 SURFACE:0 SAMPLER:0
"""

# nvdisasm -c, lines from several kernels.
SASS = """\
	.target	sm_90a
k:
.text.k:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*00d0*/              @!P0 LDG.E.128 R4, desc[UR6][R8.64] ;
        /*00e0*/              @P1 LDG.E.64.CONSTANT R4, desc[UR6][R8.64] ;
        /*00f0*/                   LDG.E R89, desc[UR6][R2.64] ;
        /*0100*/              @!UP0 LDG.E.U16 R89, desc[UR6][R2.64] ;
        /*0110*/                   LDGSTS.E.BYPASS.128 [R7], desc[UR6][R4.64] ;
        /*0120*/                   STG.E.U8 desc[UR6][R2.64], R9 ;
        /*0130*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0140*/                   SHFL.BFLY PT, R8, R11, 0x8, 0x1f ;
        /*0150*/                   FFMA R32, R126, R128, R33 ;
        /*0160*/                   HMMA.16816.F32 R4, R8, R12, R4 ;
        /*0170*/                   ATOMG.E.ADD.STRONG.GPU PT, R2, desc[UR6][R2.64], R5 ;
        /*0180*/                   STL.64 [R1+0x8], R6 ;
        /*0190*/                   LDL R6, [R1+0x8] ;
        /*01a0*/                   ST.E.U8 desc[UR6][R32.64], R31 ;
        /*01b0*/                   LD.E.U16 R44, desc[UR6][R32.64] ;
        /*10000*/                  EXIT ;
.L_x_0:
        /*10010*/                  BRA `(.L_x_0);
"""

# The end of what LLVM writes for gfx942.
AMDGCN = """\
	s_endpgm
	.amdgpu_metadata
---
amdhsa.kernels:
  - .agpr_count:     0
    .args:
      - .address_space:  global
        .offset:         0
    .group_segment_fixed_size: 128
    .name:           k
    .private_segment_fixed_size: 20
    .sgpr_count:     19
    .sgpr_spill_count: 2
    .vgpr_count:     7
    .vgpr_spill_count: 5
    .wavefront_size: 64
...

	.end_amdgpu_metadata
"""


def test_resource_usage_of_the_kernel_asked_for() -> None:
    usage = parse_resource_usage(RESOURCE_USAGE, "k")
    assert usage == {
        "REG": 18,
        "STACK": 0,
        "SHARED": 1024,
        "LOCAL": 8,
        "CONSTANT[0]": 568,
        "CONSTANT[3]": 16,
        "TEXTURE": 0,
        "SURFACE": 0,
        "SAMPLER": 0,
    }
    assert parse_resource_usage(RESOURCE_USAGE, "kern")["STACK"] == 16


@pytest.mark.parametrize(
    ("text", "kernel", "message"),
    [
        ("", "k", "function k is not in the resource usage"),
        (RESOURCE_USAGE, "ker", "function ker is not in the resource usage"),
        (RESOURCE_USAGE.replace("REG:18 ", ""), "k", "REG is not in its resource usage"),
        (RESOURCE_USAGE.replace("STACK:0 SHARED:1024", "STACK:? SHARED:"), "k", "STACK, SHARED"),
        (" Function k:", "k", "REG, STACK, SHARED, LOCAL"),
    ],
)
def test_malformed_resource_usage_is_refused(text: str, kernel: str, message: str) -> None:
    with pytest.raises(BinaryError, match=message):
        parse_resource_usage(text, kernel)


def test_instruction_mix_counts_widths_and_drops_other_modifiers() -> None:
    mix = instruction_mix(SASS)
    assert mix == {
        "LDC": 1,
        "LDG.128": 1,
        "LDG.64": 1,
        "LDG.32": 1,
        "LDG.16": 1,
        "LDGSTS.128": 1,
        "STG.8": 1,
        "BAR": 1,
        "SHFL": 1,
        "FFMA": 1,
        "HMMA": 1,
        "ATOMG": 1,
        "STL.64": 1,
        "LDL.32": 1,
        "ST.8": 1,
        "LD.16": 1,
        "EXIT": 1,
        "BRA": 1,
    }
    # The stack is reached by its own instructions, and through generic addresses.
    assert local_instructions(mix) == 4


def test_cuobjdump_writes_the_same_instructions_with_their_encoding_behind() -> None:
    line = "        /*00c0*/              @!P0 LDG.E.128 R4, [R8.64] ;      /* 0x0000000408048981 */\n"
    assert instruction_mix(line + " " * 60 + "/* 0x000ea4000c1e1d00 */\n") == {"LDG.128": 1}


def test_amd_metadata() -> None:
    assert parse_amdgcn(AMDGCN) == {
        "vgpr_count": 7,
        "sgpr_count": 19,
        "vgpr_spill_count": 5,
        "sgpr_spill_count": 2,
        "private_segment_fixed_size": 20,
        "group_segment_fixed_size": 128,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no .amdgpu_metadata"),
        (AMDGCN.partition("\t.end_amdgpu_metadata")[0], "no .amdgpu_metadata"),
        (AMDGCN.replace("    .vgpr_count:     7\n", ""), ".vgpr_count stands 0 times"),
        (AMDGCN.replace(".vgpr_count:     7", ".vgpr_count:     many"), ".vgpr_count stands 0 times"),
        (AMDGCN.replace("...\n", "    .sgpr_count:     3\n...\n"), ".sgpr_count stands 2 times"),
    ],
)
def test_malformed_amd_metadata_is_refused(text: str, message: str) -> None:
    with pytest.raises(BinaryError, match=message):
        parse_amdgcn(text)


def test_a_tool_that_fails_or_is_missing_is_named() -> None:
    with pytest.raises(BinaryError, match=r"/nowhere/cuobjdump: it cannot be started"):
        run_tool("/nowhere/cuobjdump", "-sass", binary=b"")
    with pytest.raises(BinaryError, match="exit code"):
        run_tool(sys.executable, "-c", "import sys; sys.exit('no cubin')", binary=b"")


@pytest.mark.parametrize(
    ("target", "registers", "shared_bytes", "num_warps", "programs", "limited_by"),
    [
        # 32 registers · 32 lanes = 1,024 a warp; 16 a partition, 64 an SM: as many as its 2,048 threads are.
        ("sm_90", 32, 0, 4, 16, "threads"),
        # 33 → 1,056, rounded up to 1,280 a warp: 12 a partition, 48 an SM, 12 programs of 4.
        ("sm_90", 33, 0, 4, 12, "registers"),
        # 168 → 5,376 a warp: 3 a partition, 12 an SM: 1 program of 8, where 65,536 / (8 · 5,376) would be 1.5.
        ("sm_90", 168, 0, 8, 1, "registers"),
        # 96 → 3,072 a warp: 5 a partition, 20 an SM: 5 of 4, not the 21 / 4 that one pool would give.
        ("sm_80", 96, 0, 4, 5, "registers"),
        # 255 → 8,160, rounded up to 8,192: 2 a partition, 8 an SM: none of 16 warps.
        ("sm_80", 255, 0, 16, 0, "registers"),
        # 228 KiB / (75 + 1) KiB = 3.
        ("sm_90", 32, 75 * 1024, 4, 3, "shared memory"),
        # One byte more is rounded up to 128: 2.
        ("sm_90", 32, 75 * 1024 + 1, 4, 2, "shared memory"),
        # 164 / 76 = 2.2 and 100 / 76 = 1.3.
        ("sm_80", 32, 75 * 1024, 4, 2, "shared memory"),
        ("sm_89", 32, 75 * 1024, 4, 1, "shared memory"),
        # The most that a block may ask for, and one byte more.
        ("sm_89", 32, 99 * 1024, 4, 1, "shared memory"),
        ("sm_89", 32, 99 * 1024 + 1, 4, 0, "shared memory"),
        # 1,536 threads / 128 = 12.
        ("sm_89", 16, 0, 4, 12, "threads"),
        # Blocks of one warp: 24 on sm_89, 32 elsewhere.
        ("sm_89", 16, 0, 1, 24, "programs"),
        ("sm_100", 16, 0, 1, 32, "programs"),
    ],
)
def test_occupancy_by_hand(
    target: str, registers: int, shared_bytes: int, num_warps: int, programs: int, limited_by: str
) -> None:
    limits = TARGETS[target].limits
    assert limits is not None
    found = occupancy(limits, registers=registers, shared_bytes=shared_bytes, num_warps=num_warps)
    assert (found.programs, found.limited_by) == (programs, limited_by)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="'sm_70': choose one of sm_80, sm_89, sm_90, sm_100, gfx942"):
        find_target("sm_70")


ROW = CompiledKernel(
    kernel="score",
    variant="sparq g4",
    target="sm_90",
    num_warps=8,
    num_stages=1,
    registers=64,
    scalar_registers=None,
    shared_bytes=1024,
    local_bytes=0,
    local_instructions=0,
    spilled_registers=None,
    resident_programs=4,
    limited_by="registers",
)
AMD_ROW = replace(
    ROW,
    target="gfx942",
    scalar_registers=40,
    local_bytes=8,
    local_instructions=None,
    spilled_registers=2,
    resident_programs=None,
    limited_by=None,
)


def test_a_table_survives_its_file_and_has_a_row_a_line() -> None:
    table = Table.of("3.9.0", [AMD_ROW, ROW, replace(ROW, kernel="append")])
    assert [(row.kernel, row.target) for row in table.rows] == [
        ("append", "sm_90"),
        ("score", "sm_90"),
        ("score", "gfx942"),
    ]
    text = table.as_json()
    assert Table.from_json(text, "here") == table
    assert sum(line.startswith('{"kernel"') for line in text.splitlines()) == 3
    # What is null is explained.
    nulls = {field for row in json.loads(text)["rows"] for field, value in row.items() if value is None}
    assert nulls == set(json.loads(text)["null_means"])


def test_differences_name_the_row_the_field_and_both_values() -> None:
    before = Table.of("3.9.0", [ROW, replace(ROW, variant="gone")])
    after = Table.of("3.9.0", [replace(ROW, registers=72, resident_programs=3), replace(ROW, variant="come")])
    assert differences(before, before) == []
    assert differences(before, after) == [
        "- score [gone] sm_90: not compiled any more",
        "+ score [come] sm_90: new",
        "~ score [sparq g4] sm_90: registers 64 → 72, resident_programs 4 → 3",
    ]


def test_another_triton_may_count_differently_but_not_spill() -> None:
    before = Table.of("3.8.0", [ROW])
    assert differences(before, Table.of("3.9.0", [replace(ROW, registers=72)])) == []
    (line,) = differences(before, Table.of("3.9.0", [replace(ROW, local_instructions=2)]))
    assert line.startswith("! score [sparq g4] sm_90: 0 bytes of local memory a thread, 2 instructions")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (ROW, None),
        (AMD_ROW, None),  # scratch on AMD is recorded, and forgiven
        (replace(ROW, local_bytes=8), "8 bytes of local memory"),
        (replace(ROW, local_instructions=1), "1 instructions that access it"),
        (replace(ROW, shared_bytes=228 * 1024), "233472 bytes of shared memory, 232448 exist"),
        (replace(AMD_ROW, shared_bytes=64 * 1024 + 1), "65537 bytes of shared memory, 65536 exist"),
        (replace(ROW, resident_programs=0), "no program fits an SM: registers"),
    ],
)
def test_what_no_device_should_be_given(row: CompiledKernel, complaint: str | None) -> None:
    lines = unfit(Table.of("3.9.0", [row]))
    assert len(lines) == (complaint is not None)
    assert complaint is None or complaint in lines[0]


def test_markdown_has_a_table_for_each_target() -> None:
    page = Table.of("3.9.0", [ROW, AMD_ROW]).as_markdown()
    assert "by Triton 3.9.0" in page
    assert "| score | sparq g4 | 8 | 1 | 64 | 1,024 | 0 | 4 (registers) |" in page
    assert "| score | sparq g4 | 8 | 1 | 64 + 40 | 1,024 | 8 | — |" in page
    assert "## sm_80" not in page


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"triton": "3.9.0", "rows": [{"kernel": "k"}]}', '{"triton": "3.9.0", "rows": 1}']
)
def test_a_file_that_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(TableError, match=r"^table\.json: not a table of compiled kernels: .* run `make compiled`$"):
        Table.from_json(text, "table.json")


def test_two_rows_about_the_same_are_refused() -> None:
    with pytest.raises(TableError, match=r"two rows are about score \[sparq g4\] sm_90"):
        Table.of("3.9.0", [ROW, ROW])


# ---- Toy kernels, compiled in a process of their own: this one interprets. ----


def run_python(*arguments: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, "PYTHONPATH": path, "TRITON_CACHE_DIR": str(cache), **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triton")


@pytest.fixture(scope="session")
def toys(cache: Path, nvidia_tools: None) -> dict[str, Any]:
    """What toy_kernels.py printed."""
    done = run_python(str(HERE / "toy_kernels.py"), "sm_80", "sm_90", "sm_100", "gfx942", cache=cache)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def specialised(toys: dict[str, Any]) -> dict[str, Any]:
    return toys["specialised"]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def compiled(toys: dict[str, Any]) -> dict[str, Any]:
    return toys["compiled"]  # type: ignore[no-any-return]


def test_types_are_those_of_the_launcher(specialised: dict[str, Any]) -> None:
    assert specialised["usual"]["signature"] == {
        "x": "*fp16",
        "y": "*fp16",
        "extra": "constexpr",
        "factor": "fp32",
        "n": "i32",
        "plain": "i32",
        "unaligned": "i32",
        "BLOCK": "constexpr",
    }
    assert specialised["wide"]["signature"]["n"] == "i64"
    assert specialised["bf16"]["signature"]["x"] == "*bf16"


def test_none_is_a_constant_and_a_tensor_in_its_place_is_not(specialised: dict[str, Any]) -> None:
    assert specialised["usual"]["constants"] == {"extra": None, "BLOCK": 1024}
    assert specialised["extra"]["signature"]["extra"] == "*fp16"
    assert specialised["extra"]["constants"] == {"BLOCK": 1024}


def test_one_is_a_constant_unless_specialising_is_forbidden(specialised: dict[str, Any]) -> None:
    assert specialised["one"]["constants"] == {"extra": None, "n": 1, "BLOCK": 1024}
    assert specialised["unaligned 1"]["constants"] == {"extra": None, "unaligned": 1, "BLOCK": 1024}
    # `plain` is 1 in all of them, and an argument.
    assert all(made["signature"]["plain"] == "i32" for made in specialised.values())


def test_divisibility_by_16_is_known_unless_forbidden_or_untrue(specialised: dict[str, Any]) -> None:
    assert specialised["usual"]["divisible"] == ["n", "x", "y"]
    assert specialised["odd"]["divisible"] == ["x", "y"]
    assert specialised["odd address"]["divisible"] == ["n", "y"]
    assert specialised["plain 16"]["divisible"] == ["n", "x", "y"]
    assert specialised["extra"]["divisible"] == ["extra", "n", "x", "y"]


def test_launches_share_a_key_only_where_they_run_the_same_code(specialised: dict[str, Any]) -> None:
    keys = {name: made["key"] for name, made in specialised.items()}
    assert keys["same"] == keys["usual"] == keys["plain 16"]
    assert len(set(keys.values())) == len(keys) - 2


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_alignment_decides_the_width_of_a_load(compiled: dict[str, Any], target: str) -> None:
    # 1,024 values over 128 threads: 8 halves a thread, 16 bytes.
    assert compiled[f"aligned {target}"]["mix"]["LDG.128"] == 1
    assert compiled[f"odd address {target}"]["mix"]["LDG.16"] == 8


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_a_sum_over_four_warps_passes_one_number_each_through_shared_memory(
    compiled: dict[str, Any], target: str
) -> None:
    toy = compiled[f"total {target}"]
    # cuobjdump counts the reserved KiB on sm_90 and later, which is not the kernel's.
    assert toy["shared_bytes"] == 16
    assert toy["mix"]["SHFL"] >= 5
    assert toy["mix"]["BAR"] >= 1
    assert toy["mix"]["ATOMG"] == 1
    assert toy["resident_programs"] == 16


def test_a_matrix_product_runs_on_the_tensor_cores_of_each_generation(compiled: dict[str, Any]) -> None:
    assert compiled["product sm_80"]["mix"]["HMMA"] == 64 * 64 * 64 // (16 * 8 * 16) // 4
    assert compiled["product sm_90"]["mix"]["HGMMA"] > 0
    assert compiled["product sm_100"]["mix"]["UTCHMMA"] > 0


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
def test_a_kernel_that_must_spill_is_seen_to_by_both_tools(compiled: dict[str, Any], target: str) -> None:
    # 512 values are wanted twice, 255 registers exist: at least 257 values of 4 bytes wait in local memory.
    toy = compiled[f"spills {target}"]
    assert toy["local_bytes"] >= 257 * 4
    assert toy["local_instructions"] == sum(
        count for name, count in toy["mix"].items() if name.partition(".")[0] in ("LDL", "STL")
    )
    assert toy["local_instructions"] > 0
    for name in ("aligned", "odd address", "total", "product"):
        other = compiled[f"{name} {target}"]
        assert (other["local_bytes"], other["local_instructions"]) == (0, 0)


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "gfx942"])
def test_a_launch_may_limit_its_registers_on_nvidia(compiled: dict[str, Any], target: str) -> None:
    free, limited = compiled[f"centre {target}"]["registers"], compiled[f"few registers {target}"]["registers"]
    if TARGETS[target].backend == "cuda":
        assert limited <= 24 < free
    else:
        assert limited == free


def test_amd_needs_are_read_from_the_assembly(compiled: dict[str, Any]) -> None:
    toy = compiled["total gfx942"]
    assert toy["shared_bytes"] == 16
    assert toy["registers"] > 0
    assert toy["scalar_registers"] > 0
    assert (toy["spilled_registers"], toy["local_bytes"]) == (0, 0)
    assert (toy["local_instructions"], toy["resident_programs"], toy["limited_by"]) == (None, None, None)


def test_a_record_does_not_depend_on_whether_the_listing_was_wanted(compiled: dict[str, Any]) -> None:
    assert all(toy["same without listing"] for toy in compiled.values())


def test_the_compilers_words_are_kept(toys: dict[str, Any]) -> None:
    assert toys["refusal"].startswith("refused for sm_80: CompileTimeAssertionFailure: ")
    assert "no block is good enough" in toys["refusal"]


def test_the_stand_in_driver_does_not_stay(toys: dict[str, Any]) -> None:
    assert toys["rest of the process"]


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command(nvidia_tools: None) -> Command:
    """command(*arguments) runs the command on the toys in this file's folder, even where kernels are interpreted."""

    def _command(*arguments: str, cases: str = "toy_kernels", **environment: str) -> subprocess.CompletedProcess[str]:
        made = ("-m", "sparq_kernels.gpu.compiling", "--cases", cases, *arguments)
        return run_python(*made, cache=Path("unused"), TRITON_INTERPRET="1", **environment)

    return _command


@pytest.fixture(scope="session")
def written(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table and the page of the toys on two targets, compiled by two processes."""
    folder = tmp_path_factory.mktemp("table")
    targets = ("--target", "sm_80", "--target", "gfx942")
    done = command(*targets, "--workers", "2", "--write", f"{folder}/table.json", "--markdown", f"{folder}/table.md")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return folder / "table.json"


def test_launches_of_the_same_machine_code_are_compiled_once(written: Path) -> None:
    rows = json.loads(written.read_text())["rows"]
    assert [(row["kernel"], row["variant"], row["target"]) for row in rows] == [
        ("copy", "aligned", "sm_80"),
        ("copy", "aligned", "gfx942"),
        ("copy", "odd address", "sm_80"),
        ("copy", "odd address", "gfx942"),
        ("total", "total", "sm_80"),
        ("total", "total", "gfx942"),
    ]
    assert "| total | total | 4 | 1 |" in written.with_suffix(".md").read_text()


def test_check_passes_on_the_table_just_written_and_in_one_process(command: Command, written: Path) -> None:
    done = command("--target", "sm_80", "--workers", "1", "--check", str(written))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == "3 kernels compiled, 0 complaints"


def test_check_fails_on_a_changed_number_and_prints_it(command: Command, written: Path, tmp_path: Path) -> None:
    table = Table.from_json(written.read_text(), "written")
    doctored = [replace(row, shared_bytes=32) if row.kernel == "total" else row for row in table.rows]
    path = tmp_path / "table.json"
    path.write_text(Table.of(table.triton, doctored).as_json())
    done = command("--target", "sm_80", "--kernel", "total", "--workers", "1", "--check", str(path))
    assert done.returncode == 1
    assert "~ total [total] sm_80: shared_bytes 32 → 16" in done.stderr.splitlines()
    # Nothing is said of kernels that were not asked for.
    assert "copy" not in done.stderr


def test_check_against_another_version_says_what_it_left_out(command: Command, written: Path, tmp_path: Path) -> None:
    table = Table.from_json(written.read_text(), "written")
    path = tmp_path / "table.json"
    path.write_text(Table.of("3.5.0", [replace(row, registers=1) for row in table.rows]).as_json())
    done = command("--target", "sm_80", "--kernel", "total", "--workers", "1", "--check", str(path))
    assert done.returncode == 0, done.stderr
    assert "is of Triton 3.5.0" in done.stdout
    assert "only local memory on NVIDIA and what fits is checked" in done.stdout


def test_a_refusal_and_a_spill_fail_the_command_with_their_cause(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad_cases.py"
    path.write_text("from toy_kernels import *\nCASES = [Toy('bad', REFUSED), Toy('spills', SPILLS)]\n")
    table = tmp_path / "table.json"
    done = command(
        *("--target", "sm_80", "--workers", "1", "--write", str(table)),
        cases="bad_cases",
        PYTHONPATH=os.pathsep.join([str(tmp_path), str(HERE), *filter(None, sys.path)]),
    )
    assert done.returncode == 1
    assert "! refused [bad] sm_80: refused for sm_80: CompileTimeAssertionFailure" in done.stderr
    assert "no block is good enough" in done.stderr
    assert "! centre [spills] sm_80: " in done.stderr
    # A table that lacks a kernel is not written.
    assert not table.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kernel", "nothing", "--target", "sm_80"], "launches no kernel named 'nothing'"),
        (["--check", "/nowhere/table.json"], "error: /nowhere/table.json: No such file or directory"),
        (["--cases", "json"], "name a module that holds CASES"),
    ],
)
def test_bad_input_is_named_and_exits_with_2(command: Command, arguments: list[str], message: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
