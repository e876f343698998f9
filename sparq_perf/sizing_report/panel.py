"""What the page's panel needs to compute steps in the browser, by the same formulas and from the same numbers."""

from typing import Any

from sparq_profiles import HardwareProfile
from sparq_roofline.deployment.all_reduce import all_reduce_bytes
from sparq_roofline.deployment.assumptions import (
    ALL_REDUCES_PER_LAYER,
    HOP_LATENCY_S,
    LAUNCHES_PER_LAYER,
    LAUNCHES_PER_STEP,
    LINK_SHARE,
)
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import degrees, shard
from sparq_roofline.deployment.sizing import Sizing
from sparq_roofline.formulas import MEAN_VALUE_BYTES, SCORE_BYTES
from sparq_roofline.prediction import Ceilings


def panel_data(question: Question, sizing: Sizing) -> dict[str, Any]:
    """Numbers of the model, of each device, and where the panel starts."""
    served, model = question.served(), question.model
    demand, chosen = question.demand, {item.hardware: item for item in sizing.recommendations}
    first = chosen.get(sizing.best or "")
    return {
        "model": {
            "layers": [{"count": count, "window": window} for count, window in served.spans()],
            "nLayers": model.n_layers,
            "headDim": model.head_dim,
            "elementBytes": served.kv.element_bytes,
            "meanValue": sizing.setting.mean_value if sizing.setting else model.n_heads == model.n_kv_heads,
            "meanValueBytes": MEAN_VALUE_BYTES,
            "sharedSoftmax": sizing.setting is not None and sizing.setting.group_score == "softmax",
            "localWindow": sizing.setting.local_window if sizing.setting else 0,
            "scoreBytes": SCORE_BYTES,
            "allReduces": ALL_REDUCES_PER_LAYER * model.n_layers,
            "launches": LAUNCHES_PER_LAYER * model.n_layers + LAUNCHES_PER_STEP,
        },
        "shards": [_shard(question, served, n_gpus) for n_gpus in degrees(model, demand.most_gpus)],
        "devices": [_device(question, served, hardware) for hardware in question.hardware],
        "hopLatency": HOP_LATENCY_S,
        "linkShare": LINK_SHARE,
        "powerShare": question.power_share,
        "reserve": demand.reserve_fraction,
        "start": {
            "device": first.hardware if first else question.hardware[0].name,
            "gpus": first.n_gpus if first else 1,
            "layout": first.k_layout if first and first.k_layout else "two_copies",
            "rank": sizing.setting.rank if sizing.setting else min(16, model.head_dim),
            "topK": sizing.setting.top_k if sizing.setting else 128,
            "seqLen": demand.seq_len,
            "batch": first.batch if first else 1,
        },
    }


def _shard(question: Question, served: Served, n_gpus: int) -> dict[str, Any]:
    held = shard(question.model, n_gpus)
    return {
        "gpus": n_gpus,
        "heads": held.n_heads,
        "kvHeads": held.n_kv_heads,
        "layerBytes": held.layer_read_bytes(served.weights),
        "layerFlops": 2 * question.model.n_layers * held.layer_matrices,
        "headBytes": held.head_matrix * served.weights.table_bytes,
        "headFlops": 2 * held.head_matrix,
        "weightBytes": held.weight_bytes(served.weights),
        "allReduceBytes": all_reduce_bytes(question.model, 1, n_gpus),
    }


def _device(question: Question, served: Served, hardware: HardwareProfile) -> dict[str, Any]:
    ceilings = Ceilings.of(hardware, "float16")
    link, power = hardware.link_bandwidth_bytes_per_s, hardware.power_limit_w
    return {
        "name": hardware.name,
        "title": hardware.title,
        "bandwidth": ceilings.bandwidth_bytes_per_s,
        "peak": ceilings.peak_flop_per_s,
        "weightPeak": served.weights.peak_flop_per_s(hardware),
        "launch": ceilings.launch_latency_s,
        "sector": ceilings.sector_bytes,
        "stream": ceilings.stream,
        "gather": ceilings.gather,
        "compute": ceilings.compute,
        "memory": hardware.memory_bytes.value,
        "link": link.value if link else None,
        "power": power.value if power else None,
        "price": question.price_usd_per_h(hardware),
    }
