// Part of the bars: how many channels have which weight, counted on the absolute scale.

const SPREAD_HEIGHT = 110 // pixels
const SPREAD_TOP = 18 // room for counts above the bars
const SPREAD_LEFT = 34
const SPREAD_BOTTOM = 32
const SEEN = 2 // pixels: a bin that holds one of thousands is to be seen
const COUNT_ROOM = 5.8 // pixels of a digit

const spreads = new WeakMap()

function showSpread(root, data) {
  let chart = spreads.get(root)
  if (!chart) {
    chart = createSpread(root)
    spreads.set(root, chart)
  }
  chart.data = data
  chart.bins = data.histogram
  chart.most = Math.max(1, ...chart.bins.map(bin => bin.count))
  if (chart.at >= chart.bins.length) chart.at = null
  root.querySelector(".told").textContent = inWords(chart)
  chart.svg.setAttribute("aria-label", data.histogramLabel)
  drawSpread(chart)
}

function createSpread(root) {
  const svg = root.querySelector("svg")
  const chart = { svg, readout: root.querySelector(".readout"), at: null, shown: "" }
  new ResizeObserver(() => drawSpread(chart)).observe(svg.parentElement)
  const hide = () => (chart.readout.hidden = true)
  svg.onpointermove = svg.onclick = event => pointAt(chart, event)
  svg.onpointerleave = svg.onblur = hide
  svg.onkeydown = event => step(chart, event)
  return chart
}

function inWords({ data, bins, most }) {
  const some = bins.filter(bin => bin.count === most).map(bin => bin.text)
  const where = some.length > 3 ? `${some.length} of them` : some.join(" and ")
  const beyond = bins.filter(bin => !isInside(bin)).map(bin => ` ${bin.count} ${bin.text}.`)
  const lost = data.missing ? ` ${data.missing} are no finite numbers and in no bin.` : ""
  const inside = bins.filter(isInside).length
  const each = some.length > 1 ? " each" : ""
  return `${data.weights.length} channels; from 0 to 1 in ${inside} bins. Most, ${most}${each}, in ${where}.${beyond.join("")}${lost}`
}

function isInside(bin) {
  return bin.text.includes(" to ")
}

function drawSpread(chart) {
  const { data, bins, svg } = chart
  const width = widthOf(svg)
  if (!data || width < 80) return
  chart.step = Math.max(1, Math.floor((width - SPREAD_LEFT - 6) / bins.length))
  const shown = JSON.stringify([bins, width])
  if (chart.shown !== shown) {
    chart.shown = shown
    const height = SPREAD_TOP + SPREAD_HEIGHT + SPREAD_BOTTOM
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    svg.style.width = `${width}px`
    svg.style.height = `${height}px`
    const bars = bins.map((bin, at) => spreadBar(chart, bin, at))
    svg.replaceChildren(...spreadAxes(chart), ...bars, ...spreadCounts(chart))
  }
  markBin(chart)
}

function spreadBar({ most, step, data }, bin, at) {
  const height = bin.count ? Math.max(SEEN, (SPREAD_HEIGHT * bin.count) / most) : 0
  const y = SPREAD_TOP + SPREAD_HEIGHT - height
  const bar = made("rect", { x: SPREAD_LEFT + at * step, y, width: Math.max(1, step - 1), height })
  bar.dataset.count = bin.count
  bar.style.fill = data.colors.strong
  return bar
}

// Counts where there is room for them; the readout has all.
function spreadCounts({ bins, most, step }) {
  if (step < COUNT_ROOM * `${most}`.length) return []
  return bins.flatMap((bin, at) => {
    if (!bin.count) return []
    const height = Math.max(SEEN, (SPREAD_HEIGHT * bin.count) / most)
    const y = SPREAD_TOP + SPREAD_HEIGHT - height - 4
    const count = label(`${bin.count}`, SPREAD_LEFT + (at + 0.5) * step, y, "middle")
    count.setAttribute("class", "count")
    return [count]
  })
}

function spreadAxes({ bins, most, step }) {
  const foot = SPREAD_TOP + SPREAD_HEIGHT
  const end = SPREAD_LEFT + bins.length * step
  const parts = [made("line", { x1: SPREAD_LEFT, x2: end, y1: foot, y2: foot })]
  parts.push(label("0", SPREAD_LEFT - 6, foot, "end"))
  parts.push(label(`${most}`, SPREAD_LEFT - 6, SPREAD_TOP + 8, "end"))
  const first = isInside(bins[0]) ? 0 : 1
  const inside = bins.filter(isInside).length
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const x = SPREAD_LEFT + (first + share * inside) * step
    parts.push(made("line", { x1: x, x2: x, y1: foot, y2: foot + 4 }))
    parts.push(label(`${share}`, x, foot + 15, "middle"))
  }
  parts.push(label("channel weight", (SPREAD_LEFT + end) / 2, foot + 29, "middle"))
  return parts
}

function markBin(chart) {
  const { svg, bins, data, at } = chart
  const { strong, accent } = data.colors
  svg.querySelectorAll("rect").forEach((bar, index) => {
    bar.style.fill = index === at ? accent : strong
  })
  svg.setAttribute("aria-valuemin", 1)
  svg.setAttribute("aria-valuemax", bins.length)
  svg.setAttribute("aria-valuenow", (at ?? 0) + 1)
  svg.setAttribute("aria-valuetext", at === null ? "no bin chosen" : binInWords(chart, at))
}

function binInWords({ bins, data }, at) {
  const { text, count } = bins[at]
  const share = (100 * count) / data.weights.length
  const percent = count && share < 0.05 ? "less than 0.1" : share.toFixed(1)
  return `weights ${text}: ${count} of ${data.weights.length} channels (${percent} %)`
}

function sayBin(chart) {
  const y = SPREAD_TOP + SPREAD_HEIGHT / 2
  say(chart.svg, chart.readout, binInWords(chart, chart.at), SPREAD_LEFT + chart.at * chart.step, y)
}

function pointAt(chart, event) {
  const across = event.clientX - chart.svg.getBoundingClientRect().left - SPREAD_LEFT
  const at = Math.floor(across / chart.step)
  chart.at = at >= 0 && at < chart.bins.length ? at : null
  markBin(chart)
  if (chart.at === null) chart.readout.hidden = true
  else sayBin(chart)
}

function step(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const last = chart.bins.length - 1
  const now = chart.at ?? -1
  const targets = { ArrowRight: now + 1, ArrowLeft: Math.max(now, 1) - 1, Home: 0, End: last }
  if (event.key === "Escape") {
    chart.at = null
    chart.readout.hidden = true
    markBin(chart)
    return
  }
  if (!(event.key in targets)) return
  event.preventDefault()
  chart.at = Math.min(targets[event.key], last)
  markBin(chart)
  sayBin(chart)
}
