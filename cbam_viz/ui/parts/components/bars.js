// Channel weights as bars, in rows where there are many. One bar is chosen by a click, or with the
// arrow keys while the chart has the focus; the choice is told once the keys rest.

const SVG = "http://www.w3.org/2000/svg"
const LEFT = 30 // pixels: room for the weights' labels
const RIGHT = 76 // room for the channels that a row holds
const TOP = 8
const ALONE = 160 // height of a single row
const ROW = 36
const GAP = 16
const MOST_ROWS = 8 // beyond, bars become narrower, down to a pixel; then there are more rows
const WIDE = 4 // pixels of a bar where there are many, at most
const TIDY = 32 // channels in a row are a multiple of this, so that its ends are easy to tell
const NARROWEST = 5 // pixels of the chosen bar's backdrop: bars of one pixel are hard to find
const REST = 250 // milliseconds

const instances = new WeakMap()

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".bars")
  const beside = parentElement.querySelector(".spread")
  if (!root || !beside || !data) return
  showSpread(beside, data)
  let chart = instances.get(root)
  if (!chart) {
    chart = create(root)
    instances.set(root, chart)
  }
  chart.tell = channel => setTriggerValue("pick", channel)
  show(chart, data)
}

function create(root) {
  const chart = {
    svg: root.querySelector("svg"),
    readout: root.querySelector(".readout"),
    legend: root.querySelector(".legend"),
    data: null,
    width: 0,
    shown: "",
    chosen: null,
    timer: 0,
  }
  new ResizeObserver(() => layOut(chart)).observe(chart.svg.parentElement)
  chart.svg.onpointermove = event => hover(chart, event)
  chart.svg.onpointerleave = () => (chart.readout.hidden = true)
  chart.svg.onblur = () => (chart.readout.hidden = true)
  chart.svg.onclick = event => {
    const position = positionAt(chart, event)
    if (position !== null) choose(chart, channelAt(chart, position), 0)
  }
  chart.svg.onkeydown = event => press(chart, event)
  return chart
}

function show(chart, data) {
  chart.data = data
  chart.order = [...data.weights.keys()]
  if (data.order === "sorted") chart.order.sort((a, b) => data.ranks[a] - data.ranks[b])
  chart.marked = new Set(data.marked)
  chart.positions = new Map(chart.order.map((channel, position) => [channel, position]))
  if (!chart.timer) chart.chosen = data.selected
  layOut(chart)
}

// Where the bars lie at the width that there is; drawn anew only if something has changed.
function layOut(chart) {
  const { data, svg } = chart
  const width = widthOf(svg)
  if (!data || width < 80) return
  const count = data.weights.length
  const alone = count <= 128 && 2 * count <= width - LEFT
  const place = alone
    ? { perRow: count, room: width - LEFT - 4 }
    : wrapped(count, Math.max(width - LEFT - RIGHT, 16))
  const rows = Math.ceil(count / place.perRow)
  const row = alone ? ALONE : ROW
  const bottom = TOP + rows * row + (rows - 1) * GAP
  Object.assign(chart, place, { rows, row, bottom })
  const shown = JSON.stringify([data.weights, data.order, data.marked, data.around, width])
  if (chart.shown !== shown) {
    chart.shown = shown
    svg.setAttribute("viewBox", `0 0 ${width} ${bottom + 34}`)
    svg.style.width = `${width}px`
    svg.style.height = `${bottom + 34}px`
    svg.replaceChildren(...axes(chart), ...bars(chart), ...bands(chart))
  }
  mark(chart)
}

// Whole pixels: scaled by a thousandth, a bar of one would be thinner than that.
function widthOf(svg) {
  return Math.floor(svg.parentElement.getBoundingClientRect().width)
}

// Bars in rows like lines of text, each of them some whole pixels wide: all alike, none too thin to
// be seen, and no mean of several in its place.
function wrapped(count, room) {
  for (let pixels = WIDE; ; pixels--) {
    const fit = Math.floor(room / pixels)
    const perRow = Math.min(count, fit > TIDY ? fit - (fit % TIDY) : fit)
    if (pixels === 1 || Math.ceil(count / perRow) <= MOST_ROWS) {
      return { perRow, room: perRow * pixels }
    }
  }
}

function axes(chart) {
  const { data, rows, row, perRow, bottom, room } = chart
  const parts = []
  const shares = rows > 1 ? [0, 1] : [0, 0.25, 0.5, 0.75, 1]
  for (let index = 0; index < rows; index++) {
    for (const share of shares) {
      const y = top(chart, index) + row * (1 - share)
      parts.push(made("line", { x1: LEFT, x2: LEFT + room, y1: y, y2: y }))
      const weight = data.low + share * (data.high - data.low)
      parts.push(label(`${+weight.toPrecision(3)}`, LEFT - 6, y + 4, "end"))
    }
    if (rows === 1) continue
    const first = index * perRow + (data.order === "sorted" ? 1 : 0)
    const last = Math.min((index + 1) * perRow, data.weights.length) - 1
    const text = `${first}–${last + (data.order === "sorted" ? 1 : 0)}`
    parts.push(label(text, LEFT + room + 8, top(chart, index) + row / 2 + 4, "start"))
  }
  if (rows === 1 && data.order === "index") {
    const step = Math.max(1, 2 ** Math.ceil(Math.log2(data.weights.length / 8)))
    for (let channel = 0; channel < data.weights.length; channel += step) {
      parts.push(label(`${channel}`, left(chart, channel + 0.5), bottom + 14, "middle"))
    }
  }
  parts.push(label(title(chart), LEFT + room / 2, bottom + 30, "middle"))
  return parts
}

function title({ data, rows, perRow }) {
  const what = data.order === "sorted" ? "rank, highest weight first" : "channel"
  return rows > 1 ? `${what}, ${perRow} a row` : what
}

function bars(chart) {
  const { data, row } = chart
  const height = weight => (row * (weight - data.low)) / (data.high - data.low)
  return chart.order.map((channel, position) => {
    const weight = data.weights[channel] ?? 0
    const ends = [height(0), height(weight)].sort((a, b) => a - b)
    const bar = column(chart, position)
    bar.setAttribute("y", top(chart, Math.floor(position / chart.perRow)) + row - ends[1])
    bar.setAttribute("height", ends[1] - ends[0])
    bar.dataset.channel = channel
    return bar
  })
}

// Over each bar, where other photos' weights lie: a band of one spread on both sides of the mean.
function bands(chart) {
  const { data, row } = chart
  if (!data.around) return []
  const { mean, spread } = data.around
  const within = value => Math.min(Math.max(value, data.low), data.high)
  const height = value => (row * (within(value) - data.low)) / (data.high - data.low)
  return chart.order.flatMap((channel, position) => {
    if (mean[channel] === null) return []
    const foot = top(chart, Math.floor(position / chart.perRow)) + row
    const ends = [mean[channel] - spread[channel], mean[channel] + spread[channel]].map(height)
    const band = column(chart, position)
    band.setAttribute("y", foot - ends[1])
    band.setAttribute("height", Math.max(1, ends[1] - ends[0]))
    band.setAttribute("class", "around")
    const line = column(chart, position)
    line.setAttribute("y", foot - height(mean[channel]) - 0.5)
    line.setAttribute("height", 1)
    line.setAttribute("class", "mean")
    return [band, line]
  })
}

// A rectangle over the whole height of the bar's row.
function column(chart, position) {
  const x = left(chart, position % chart.perRow)
  const next = left(chart, (position % chart.perRow) + 1)
  const gap = chart.room / chart.perRow >= 3 ? 1 : 0
  const y = top(chart, Math.floor(position / chart.perRow))
  return made("rect", { x, y, width: Math.max(1, next - x - gap), height: chart.row })
}

// Colours, the chosen bar, and what a screen reader says.
function mark(chart) {
  const { data, svg, chosen } = chart
  const { strong, muted, accent } = data.colors
  for (const bar of svg.querySelectorAll("rect[data-channel]")) {
    const channel = Number(bar.dataset.channel)
    const fill = chart.marked.has(channel) ? strong : muted
    bar.style.fill = channel === chosen ? accent : fill
  }
  svg.querySelector(".chosen")?.remove()
  const position = chart.positions.get(chosen)
  if (position !== undefined) {
    const tint = column(chart, position)
    const missing = Math.max(0, NARROWEST - Number(tint.getAttribute("width")))
    tint.setAttribute("x", Number(tint.getAttribute("x")) - missing / 2)
    tint.setAttribute("width", Number(tint.getAttribute("width")) + missing)
    tint.setAttribute("class", "chosen")
    tint.style.fill = accent
    tint.style.fillOpacity = 0.3
    svg.insertBefore(tint, svg.querySelector("rect[data-channel]"))
  }
  svg.setAttribute("aria-label", data.label)
  svg.setAttribute("aria-valuemin", 1)
  svg.setAttribute("aria-valuemax", data.weights.length)
  svg.setAttribute("aria-valuenow", position === undefined ? 1 : position + 1)
  const text = position === undefined ? "no channel chosen" : describe(chart, chosen)
  svg.setAttribute("aria-valuetext", text)
  const some = data.marked.length > 0
  const others = some && data.marked.length < data.weights.length ? "others" : ""
  const entries = [
    [some ? strong : muted, data.markedText],
    [muted, others],
    [accent, position === undefined ? "" : `channel ${chosen}`],
    ["var(--around)", data.around ? data.around.text : ""],
  ]
  chart.legend.replaceChildren(...entries.filter(([, text]) => text).map(swatch))
}

function swatch([colour, text]) {
  const entry = document.createElement("span")
  entry.style.setProperty("--swatch", colour)
  entry.textContent = text
  return entry
}

function describe({ data }, channel) {
  const weight = data.weights[channel]
  const value = weight === null ? "not a number" : weight.toFixed(3)
  const start = `channel ${channel} · weight ${value}`
  if (!data.around) return `${start} · ${placeOf(data.weights, weight)}`
  const z = data.around.z[channel]
  const far = z === null ? "no z" : `z ${z > 0 ? "+" : ""}${z.toFixed(2)}`
  const mean = data.around.mean[channel]
  return `${start} · ${far} · mean ${mean === null ? "not a number" : mean.toFixed(3)}`
}

// In the words of `charts.channels.places`: equal weights share a rank.
function placeOf(weights, weight) {
  if (weight === null) return "no rank"
  const others = weights.filter(other => other === weight).length - 1
  if (others > 0 && others === weights.length - 1) return `the same as all ${weights.length}`
  const rank = weights.filter(other => other !== null && other > weight).length + 1
  return `rank ${rank} of ${weights.length}${others ? `, shared with ${others} more` : ""}`
}

function choose(chart, channel, delay = REST) {
  chart.chosen = channel
  mark(chart)
  clearTimeout(chart.timer)
  chart.timer = setTimeout(() => {
    chart.timer = 0
    chart.tell(channel ?? -1)
  }, delay)
}

function press(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const { perRow, rows, order } = chart
  const last = order.length - 1
  const now = chart.positions.get(chart.chosen)
  const moves = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }
  if (rows > 1) Object.assign(moves, { ArrowDown: perRow, ArrowUp: -perRow })
  let target
  if (event.key === "Escape") target = null
  else if (event.key === "Home") target = 0
  else if (event.key === "End") target = last
  else if (event.key in moves) target = now === undefined ? 0 : now + moves[event.key]
  else return
  event.preventDefault()
  chart.readout.hidden = true
  if (target === null) return choose(chart, null)
  const position = Math.min(Math.max(target, 0), last)
  choose(chart, channelAt(chart, position))
  const y = top(chart, Math.floor(position / perRow))
  tell(chart, channelAt(chart, position), left(chart, position % perRow), y)
}

function hover(chart, event) {
  const position = positionAt(chart, event)
  chart.readout.hidden = position === null
  if (position === null) return
  const box = chart.svg.getBoundingClientRect()
  tell(chart, channelAt(chart, position), event.clientX - box.left, event.clientY - box.top)
}

function tell(chart, channel, x, y) {
  say(chart.svg, chart.readout, describe(chart, channel), x, y)
}

// A few words above a place of a chart, as far as its edges allow.
function say(svg, readout, text, x, y) {
  readout.hidden = false
  readout.textContent = text
  const room = Math.max(0, svg.clientWidth - readout.offsetWidth)
  readout.style.left = `${Math.min(Math.max(x - 60, 0), room)}px`
  readout.style.top = `${y - 10}px`
}

// Which bar is meant, anywhere in its column: one of weight 0.02 could not be hit otherwise.
function positionAt(chart, event) {
  const box = chart.svg.getBoundingClientRect()
  const across = event.clientX - box.left
  const index = Math.floor((event.clientY - box.top - TOP + GAP / 2) / (chart.row + GAP))
  const within = Math.floor(((across - LEFT) / chart.room) * chart.perRow)
  const position = index * chart.perRow + within
  const hit = index >= 0 && index < chart.rows && within >= 0 && within < chart.perRow
  return hit && position < chart.order.length ? position : null
}

function channelAt(chart, position) {
  return chart.order[position]
}

// Whole pixels: bars of one and of two pixels side by side would shimmer otherwise.
function left(chart, columns) {
  return LEFT + Math.round((columns * chart.room) / chart.perRow)
}

function top(chart, index) {
  return TOP + index * (chart.row + GAP)
}

function label(text, x, y, anchor) {
  const written = made("text", { x, y, "text-anchor": anchor })
  written.textContent = text
  return written
}

function made(tag, attributes) {
  const part = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value)
  return part
}
