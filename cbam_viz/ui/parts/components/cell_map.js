// A picture of a map of which a cell can be chosen: the one under the cursor is outlined and read
// out below, a click or Enter chooses it. Arrow keys go from cell to cell.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
const maps = new WeakMap()

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".cell-map")
  if (!root || !data) return
  let map = maps.get(root)
  if (!map) {
    map = {
      frame: root.querySelector(".frame"),
      under: root.querySelector(".under"),
      caption: root.querySelector("figcaption"),
      said: root.querySelector(".said"),
    }
    maps.set(root, map)
    listen(map)
  }
  Object.assign(map, { data, axes: axesOf(data.cells), at: null })
  map.choose = cell => setTriggerValue("cell", [cell.y.index, cell.x.index])
  root.querySelector("img").src = data.picture
  map.frame.style.setProperty("--aspect", data.size[1] / data.size[0])
  const keys = "Arrow keys go from cell to cell, Enter chooses one."
  map.frame.setAttribute("aria-label", `${data.alt}. ${keys}`)
  point(map, null)
}

function listen(map) {
  const { frame } = map
  const under = event => {
    const box = frame.getBoundingClientRect()
    const [height, width] = map.data.size
    const y = ((event.clientY - box.top) / box.height) * height
    return cellAt(map.axes, y, ((event.clientX - box.left) / box.width) * width)
  }
  frame.onpointermove = event => point(map, under(event))
  frame.onpointerleave = frame.onblur = () => point(map, null)
  frame.onclick = event => {
    const cell = under(event)
    if (cell) map.choose(cell)
  }
  frame.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === "Enter" && map.at) map.choose(map.at)
    else if (STEPS[event.key]) step(map, ...STEPS[event.key])
    else return
    event.preventDefault()
  }
}

// From the cell that is read out, or the followed one, to its neighbour.
function step(map, down, across) {
  const [row, column] = map.data.followed
  const next = (intervals, index, by) => {
    const here = intervals.findIndex(one => one.index === index)
    return intervals[clamp((here < 0 ? 0 : here) + by, 0, intervals.length - 1)]
  }
  const { y, x } = map.axes
  point(map, {
    y: next(y, map.at ? map.at.y.index : row, down),
    x: next(x, map.at ? map.at.x.index : column, across),
  })
  map.said.textContent = map.caption.textContent
}

// Outline a cell and read it out; without one the caption stands there again.
function point(map, cell) {
  const { data, under, caption } = map
  // What is read out must not move what lies below.
  if (!cell) caption.style.minHeight = ""
  else if (!map.at) caption.style.minHeight = `${caption.offsetHeight}px`
  map.at = cell
  under.hidden = !cell
  caption.textContent = cell ? `${place(cell)}${value(data.cells, cell)}` : data.caption
  if (!cell) return
  const [height, width] = data.size
  const share = (part, whole) => `${(100 * part) / whole}%`
  under.style.top = share(cell.y.low, height)
  under.style.height = share(cell.y.high - cell.y.low, height)
  under.style.left = share(cell.x.low, width)
  under.style.width = share(cell.x.high - cell.x.low, width)
}

function place(cell) {
  return `row ${cell.y.index + 1}, column ${cell.x.index + 1}`
}

function value({ columns, values }, cell) {
  if (!values) return ""
  return `: ${values[cell.y.index * columns + cell.x.index]}`
}
