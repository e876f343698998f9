"""`sparq-perf traffic`: bytes that the Triton kernels' code accesses, counted without a GPU, beside the formulas."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sparq_perf.cli import options
from sparq_perf.cli.options import build_config, build_shape, print_json
from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.shape import K_LAYOUTS

if TYPE_CHECKING:
    from sparq_perf.measure.counted_traffic import Case, CountedStep

EXIT_FAILED_CHECK = 1
ALL = "all"
# Options that mean something only where a shape is named.
OF_A_SHAPE = (
    *("n_kv_heads", "dtype", "batch", "seq_len", "rank", "top_k"),
    *("local_window", "mean_value", "group_score"),
)


def traffic(
    context: typer.Context,
    model: options.Model = None,
    n_heads: options.NHeads = None,
    n_kv_heads: options.NKvHeads = None,
    head_dim: options.HeadDim = None,
    dtype: options.DTypeName = None,
    batch: Annotated[int, typer.Option("--batch", help="Sequences decoded together (B).")] = 1,
    seq_len: Annotated[int | None, typer.Option("--seq-len", help="Tokens in the KV cache (S).")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Query components for the approximate scores (r).")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Positions attended exactly (k).")] = None,
    local_window: Annotated[int, typer.Option("--local-window", help="Recent positions always selected.")] = 0,
    mean_value: options.MeanValue = True,
    group_score: Annotated[str, typer.Option("--group-score", help="logits or softmax, for grouped heads.")] = "logits",
    k_layout: Annotated[
        list[str] | None,
        typer.Option("--k-layout", help="two_copies, channel_major, row_major or all; may be given again."),
    ] = None,
    implementation: Annotated[
        list[str] | None,
        typer.Option("--implementation", help="Count only this one; may be given again. All by default."),
    ] = None,
    architecture: Annotated[
        str, typer.Option("--architecture", help="Whose launch parameters to use: sm_90, gfx942, ...")
    ] = "sm_90",
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Largest difference allowed, a fraction of the counted bytes.")
    ] = 0.01,
    max_cache_mb: Annotated[
        float, typer.Option("--max-cache-mb", help="Refuse a KV cache above this: interpreting is slow.")
    ] = 64.0,
    as_json: options.Json = False,
) -> int:
    """Count the bytes that the Triton kernels access, lane by lane, beside the bytes that the formulas state.

    The kernels run in Triton's interpreter; no GPU is needed. Name a --model, or --n-heads and --head-dim, with
    --seq-len, --rank and --top-k, to count that shape in every K layout; without a shape, a set of small standard
    configurations is counted. Sectors are the distinct ones of 32 bytes that a launch touches: what must move at least
    once. Requests are the sectors that its instructions ask for: what the caches see.

    Exit codes: 0 all agree; 1 a step differs by more than --tolerance, or accesses memory outside its tensors; 2 bad
    input.

    Example: sparq-perf traffic --n-heads 8 --n-kv-heads 2 --head-dim 128 --seq-len 4096 --rank 32 --top-k 128
    """
    if not tolerance >= 0:  # nor NaN, which no difference would exceed
        raise ConfigError(f"--tolerance is {tolerance:g}: it must be a fraction of at least 0")
    if not max_cache_mb > 0:
        raise ConfigError(f"--max-cache-mb is {max_cache_mb:g}: it must be above 0")
    if not re.fullmatch(r"sm_\d+|gfx[0-9a-f]+", architecture):
        raise ConfigError(f"--architecture is {architecture!r}: give one such as sm_90 or gfx942")
    from sparq_perf.measure.countable import countable, needs_settings

    chosen, layouts = countable(implementation or ()), _layouts(k_layout)
    shape = config = None
    if model is None and n_heads is None and head_dim is None:
        _refuse_settings(context)
    else:
        sparse = needs_settings(chosen)
        for option, value, wanted in (
            ("--seq-len", seq_len, True),
            ("--rank", rank, sparse),
            ("--top-k", top_k, sparse),
        ):
            if wanted and value is None:
                raise ConfigError(f"no {option} given: a shape needs one")
        assert seq_len is not None
        shape = build_shape(model, n_heads, n_kv_heads, head_dim, batch=batch, seq_len=seq_len, dtype=dtype)
        # Dense attention takes only the layout from these: 1 stands for what was not asked for.
        rank, top_k = (1 if value is None else value for value in (rank, top_k))
        config = build_config(rank, top_k, local_window, mean_value, group_score, "two_copies")

    from sparq_perf.measure.interpreting import use_interpreter

    use_interpreter()  # before anything below imports triton
    from sparq_perf.cli.traffic_tables import print_steps

    steps = _count(chosen, _cases(shape, config, layouts), architecture, max_cache_mb)
    if as_json:
        print_json([step.as_row() for step in steps])
    else:
        print_steps(steps, tolerance)
    return 0 if all(step.holds(tolerance) for step in steps) else EXIT_FAILED_CHECK


def _refuse_settings(context: typer.Context) -> None:
    for name in OF_A_SHAPE:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} goes with a shape: name a --model, or give --n-heads and --head-dim")


def _layouts(names: Sequence[str] | None) -> tuple[str, ...]:
    """The layouts asked for, each once; none where none was."""
    wanted = [layout for name in names or () for layout in (K_LAYOUTS if name == ALL else (name,))]
    for layout in wanted:
        if layout not in K_LAYOUTS:
            raise ConfigError(f"--k-layout is {layout!r}: choose {', '.join(K_LAYOUTS)} or {ALL}")
    return tuple(dict.fromkeys(wanted))


def _cases(shape: AttentionShape | None, config: SparqConfig | None, layouts: Sequence[str]) -> list["Case"]:
    """One shape, in every layout unless some were asked for; or the standard cases, in their own unless some were."""
    from sparq_perf.measure.counted_cases import STANDARD_CASES
    from sparq_perf.measure.counted_traffic import Case

    if shape is None or config is None:
        cases = list(STANDARD_CASES)
    else:
        cases, layouts = [Case(shape, config)], layouts or K_LAYOUTS
    if layouts:
        cases = [case.with_layout(layout) for case in cases for layout in layouts]
    return list(dict.fromkeys(cases))


def _count(
    chosen: Sequence[str], cases: Sequence["Case"], architecture: str, max_cache_mb: float
) -> list["CountedStep"]:
    from rich.console import Console

    from sparq_kernels.gpu.tiling import tiling_for
    from sparq_perf.measure.counted_runs import count

    for case in cases:
        if case.cache_bytes > max_cache_mb * 1e6:
            raise ConfigError(
                f"the KV cache takes {case.cache_bytes / 1e6:,.0f} MB and --max-cache-mb is {max_cache_mb:g}: kernels "
                "are interpreted here, a few MB a second: give a smaller --seq-len or --batch, or raise the limit"
            )
    steps: list[CountedStep] = []
    with Console(stderr=True).status("") as status:  # seen on a terminal only
        for number, case in enumerate(cases, start=1):
            for name in chosen:
                status.update(f"{number} of {len(cases)}: {name} {case.config.k_layout} S={case.shape.seq_len}")
                steps += count(name, case, tiling_for(architecture))
    return steps
