"use strict";
(() => {
  // The formulas of sparq_roofline.formulas and sparq_roofline.deployment, once more; a test holds the two together.
  const data = JSON.parse(document.getElementById("panel-data").textContent);
  const { model } = data;
  const span = (lower, expected, upper) => ({ lower, expected, upper });
  const plus = (a, b) => span(a.lower + b.lower, a.expected + b.expected, a.upper + b.upper);
  const times = (a, factor) => span(a.lower * factor, a.expected * factor, a.upper * factor);
  const into = (amount, a) => span(amount / a.upper, amount / a.expected, amount / a.lower);
  const over = (a, b) => span(a.lower / b.upper, a.expected / b.expected, a.upper / b.lower);
  const step = (readBytes, writeBytes, flops, gather = false, launches = 1) => (
    { bytes: readBytes + writeBytes, flops, gather, launches });

  // Share of a K row's sectors that hold one of r channels.
  const sectorShare = (headDim, rank, perSector) => {
    let untouched = 1;
    for (let i = 0; i < perSector; i += 1) {
      const [left, of] = [headDim - rank - i, headDim - i];
      untouched *= Math.max(left, 0) / (of === 0 ? 1 : of);
    }
    return 1 - untouched;
  };

  const denseSteps = (batch, seqLen, held) => {
    const kvHeads = batch * held.kvHeads;
    const row = model.headDim * model.elementBytes;
    const queries = batch * held.heads * row;
    return [
      step(kvHeads * 2 * seqLen * row + queries, queries, 4 * batch * held.heads * seqLen * model.headDim),
      step(0, kvHeads * 2 * row, 0),
    ];
  };

  const sparqSteps = (batch, seqLen, held, device, { rank, topK, layout }) => {
    const kvHeads = batch * held.kvHeads;
    const row = model.headDim * model.elementBytes;
    const queries = batch * held.heads * row;
    const k = Math.min(topK, seqLen);
    const perSector = Math.max(1, Math.floor(device.sector / model.elementBytes));
    const score = layout === "row_major"
      ? seqLen * row * sectorShare(model.headDim, rank, perSector) : seqLen * rank * model.elementBytes;
    const keys = layout === "channel_major" ? Math.min(k * model.headDim * device.sector, seqLen * row) : k * row;
    const mean = model.meanValue ? kvHeads * model.headDim * model.meanValueBytes : 0;
    // Scores that wait for every head's normaliser, written and read back, or made again.
    const waits = model.sharedSoftmax && held.heads > held.kvHeads && k < seqLen;
    const positions = waits ? seqLen - Math.min(model.localWindow, k) : 0;
    const kept = positions * Math.min(batch * held.heads * model.scoreBytes, kvHeads * score / seqLen / 2);
    return [
      step(kvHeads * score + queries, kept, 2 * batch * held.heads * seqLen * rank),
      step(kept, 0, kvHeads * seqLen),
      step(kvHeads * (keys + k * row), queries, 4 * batch * held.heads * k * model.headDim, true),
      step(0, kvHeads * (layout === "two_copies" ? 3 : 2) * row, 0),
      step(mean, mean, model.meanValue ? 3 * kvHeads * model.headDim : 0, false, 0),
    ];
  };

  const roofline = (steps, device, peak) => {
    let [memory, compute, expected, upper] = [0, 0, 0, 0];
    for (const one of steps) {
      const [low, mid] = one.gather ? device.gather : device.stream;
      const [bytesTime, flopsTime] = [one.bytes / device.bandwidth, one.flops / peak];
      const latency = one.launches * device.launch;
      memory += bytesTime;
      compute += flopsTime;
      expected += Math.max(bytesTime / mid, flopsTime / device.compute[1]) + latency;
      upper += bytesTime / low + flopsTime / device.compute[0] + latency;
    }
    return span(Math.max(memory, compute), expected, upper);
  };

  const attention = (batch, seqLen, held, device, config) => model.layers.reduce((sum, { count, window }) => {
    const seen = window === null ? seqLen : Math.min(seqLen, window);
    const steps = config ? sparqSteps(batch, seen, held, device, config) : denseSteps(batch, seen, held);
    return plus(sum, times(roofline(steps, device, device.peak), count));
  }, span(0, 0, 0));

  const allReduce = (batch, held, device) => {
    if (held.gpus === 1) return span(0, 0, 0);
    const wire = model.allReduces * batch * held.allReduceBytes / device.link;
    const hops = model.allReduces * 2 * (held.gpus - 1);
    const [lowShare, share, highShare] = data.linkShare;
    const [low, hop, high] = data.hopLatency;
    return span(wire / highShare + hops * low, wire / share + hops * hop, wire / lowShare + hops * high);
  };

  const sequenceBytes = (tokens, held, layout) => {
    const token = (layout === "two_copies" ? 3 : 2) * held.kvHeads * model.headDim * model.elementBytes;
    const cached = model.layers.reduce(
      (sum, { count, window }) => sum + count * (window === null ? tokens : Math.min(tokens, window)) * token, 0);
    const mean = layout && model.meanValue ? model.nLayers * held.kvHeads * model.headDim * model.meanValueBytes : 0;
    return cached + mean;
  };

  const compute = ({ device, gpus, layout, rank, topK, seqLen, batch }) => {
    const held = data.shards.find((shard) => shard.gpus === gpus);
    const layers = roofline([step(held.layerBytes, 0, batch * held.layerFlops, false, 0)], device, device.weightPeak);
    const head = roofline([step(held.headBytes, 0, batch * held.headFlops, false, 0)], device, device.weightPeak);
    const launches = model.launches * device.launch;
    const rest = [head, span(0, launches, launches), allReduce(batch, held, device)].reduce(plus, layers);
    const before = attention(batch, seqLen, held, device, null);
    const after = attention(batch, seqLen, held, device, { rank, topK, layout });
    const ratio = (r, a, b) => (r + a) / (r + b);
    const ends = [rest.lower, rest.upper];
    const side = (time, which) => {
      const total = plus(rest, time);
      const rate = into(batch, total);
      const kv = batch * sequenceBytes(seqLen, held, which);
      const perGpu = times(rate, 1 / gpus);
      const seconds = times(total, gpus / batch);
      return {
        attention: time,
        step: total,
        tokens: rate,
        perGpu,
        usd: device.price === null ? null : times(seconds, device.price / 3600 * 1e6),
        joules: device.power === null ? null : span(
          seconds.lower * device.power * data.powerShare[0],
          seconds.expected * device.power * data.powerShare[1],
          seconds.upper * device.power * data.powerShare[2]),
        kv,
        memory: held.weightBytes + kv + device.memory * data.reserve,
      };
    };
    return {
      held,
      dense: side(before, null),
      sparq: side(after, layout),
      attentionSpeedup: over(before, after),
      stepSpeedup: span(
        Math.min(...ends.map((end) => ratio(end, before.lower, after.upper))),
        ratio(rest.expected, before.expected, after.expected),
        Math.max(...ends.map((end) => ratio(end, before.upper, after.lower)))),
    };
  };

  // ---- the form ----
  const form = document.getElementById("panel");
  const field = (name) => form.elements[name];
  const whole = (name) => {
    const input = field(name);
    const value = Math.round(Number(input.value));
    return Math.min(Math.max(Number.isFinite(value) ? value : 1, Number(input.min)), Number(input.max));
  };
  const prefixes = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
  const digits = (value) => value >= 999.5 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
  const si = (unit) => (value) => {
    const [scale, prefix] = prefixes.find(([size]) => value >= size * 0.9995) ?? prefixes.at(-1);
    return `${digits(value / scale)} ${prefix}${unit}`;
  };
  const plain = (unit) => (value) => `${digits(value)}${unit}`;

  const show = (name, value, format) => {
    const cell = document.querySelector(`[data-out="${name}"]`);
    cell.textContent = "";
    cell.dataset.value = value === null ? "" : JSON.stringify(value);
    if (value === null) { cell.textContent = "unknown"; return; }
    const range = document.createElement("small");
    if (typeof value === "number") { cell.textContent = format(value); return; }
    cell.append(format(value.expected));
    range.textContent = `${format(value.lower)} to ${format(value.upper)}`;
    cell.append(range);
  };

  const update = () => {
    const device = data.devices.find((one) => one.name === field("device").value);
    // A device without a stated link works alone.
    for (const option of field("gpus").options) option.disabled = Number(option.value) > 1 && device.link === null;
    if (field("gpus").selectedOptions[0]?.disabled !== false) field("gpus").value = field("gpus").options[0].value;
    const setting = { device, gpus: Number(field("gpus").value), layout: field("layout").value, rank: whole("rank"),
      topK: whole("topK"), seqLen: whole("seqLen"), batch: whole("batch") };
    const result = compute(setting);
    for (const which of ["dense", "sparq"]) {
      const side = result[which];
      show(`${which}-attention`, side.attention, si("s"));
      show(`${which}-step`, side.step, si("s"));
      show(`${which}-tokens`, side.tokens, plain(""));
      show(`${which}-perGpu`, side.perGpu, plain(""));
      show(`${which}-usd`, side.usd, plain(""));
      show(`${which}-joules`, side.joules, plain(""));
      show(`${which}-kv`, side.kv, si("B"));
      show(`${which}-memory`, side.memory, si("B"));
      const fits = document.querySelector(`[data-fits="${which}"]`);
      fits.textContent = side.memory <= device.memory ? "fits" : "does not fit";
      fits.className = `chip ${side.memory <= device.memory ? "ok" : "failed"}`;
    }
    show("attentionSpeedup", result.attentionSpeedup, plain("×"));
    show("stepSpeedup", result.stepSpeedup, plain("×"));
    document.getElementById("panel-capacity").textContent = si("B")(device.memory);
    const dense = result.dense.attention.expected / result.dense.step.expected;
    document.getElementById("panel-amdahl").textContent = `Attention is ${digits(dense * 100)} % of the dense step here: `
      + `were it free, the step would be ${digits(1 / (1 - dense))}× faster.`;
    form.dispatchEvent(new CustomEvent("computed"));
  };

  // A slider stands on the logarithm of its number where the number spans decades.
  const pairs = [...form.querySelectorAll("input[data-for]")].map((slider) => {
    const number = field(slider.dataset.for);
    const logarithmic = slider.dataset.scale === "log";
    const place = () => { slider.value = logarithmic ? Math.log2(Math.max(1, Number(number.value))) : number.value; };
    slider.addEventListener("input", () => {
      number.value = logarithmic ? Math.round(2 ** Number(slider.value)) : slider.value;
      update();
    });
    number.addEventListener("input", () => { place(); update(); });
    return place;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    // A number out of range is set to the nearest that is in it.
    if (event.target.type === "number") event.target.value = whole(event.target.name);
    pairs.forEach((place) => place());
    update();
  });
  const start = () => {
    for (const [name, value] of Object.entries(data.start)) field(name).value = value;
    pairs.forEach((place) => place());
    update();
  };
  form.addEventListener("reset", () => setTimeout(start));
  start();

  // One select rules every chart of the trade-offs.
  const device = document.getElementById("study");
  if (!device) return;
  const choose = () => document.querySelectorAll("select[data-follows=study]").forEach((select) => {
    select.value = `${select.dataset.chart}-${device.value}`;
    select.dispatchEvent(new Event("change"));
    const words = document.querySelector(`[data-words="${select.dataset.chart}"]`);
    if (words) words.textContent = select.selectedOptions[0].dataset.words;
  });
  device.addEventListener("change", choose);
  choose();
})();
