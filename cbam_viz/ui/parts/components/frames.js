// Photos with maps beside each other, below each its difference to the first. What is under the
// cursor is read out in all of them at once, from each map's own cells: a value is never taken from
// a picture.

const windows = new WeakMap()
const STEP = 0.05 // of the picture, for the arrow keys

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".frames")
  if (!root || !data) return
  const text = JSON.stringify(data)
  if (root.dataset.shown === text) return
  root.dataset.shown = text
  root.querySelector(".bars").replaceChildren(...data.bars.map(bar))
  const row = root.querySelector(".row")
  row.style.setProperty("--sides", data.sides.length)
  const sides = data.sides.map(side => ({ ...side, axes: side.cells ? axesOf(side.cells) : null }))
  // Other colours or cells of the same photos keep the zoom.
  const photos = JSON.stringify(sides.map(side => [side.title, side.size]))
  const before = root.dataset.photos === photos && windows.get(root)
  root.dataset.photos = photos
  const all = { pictures: [], sides, linked: data.linked, pointers: new Map(), pointed: null,
    window: before || { ...WHOLE }, keep: now => windows.set(root, now) }
  row.replaceChildren(...sides.map((side, index) => column(side, index, all)))
  listenToZoom(root, all)
  update(all)
}

function column(side, index, all) {
  const whole = element("section", "side")
  whole.setAttribute("aria-label", side.title)
  const heading = element("p", "heading")
  heading.append(element("strong", "", side.title), element("span", "", side.subtitle))
  whole.append(heading, ...framed(side.map, side, index, false, all))
  if (side.difference) whole.append(...framed(side.difference, side, index, true, all))
  else if (side.reason) whole.append(element("p", "none", side.reason))
  return whole
}

// One picture and the line below it that reads it out.
function framed(shown, side, index, isDifference, all) {
  const frame = element("div", "frame")
  frame.style.setProperty("--aspect", side.size[1] / side.size[0])
  frame.tabIndex = 0
  frame.setAttribute("role", "img")
  const keys = "Arrow keys move the place that is read out; + and − zoom."
  frame.setAttribute("aria-label", `${shown.alt}. ${keys}`)
  const inside = element("div", "inside")
  frame.append(inside)
  inside.append(image(shown.photo, 1))
  if (shown.layer) {
    const over = image(shown.layer, shown.opacity)
    over.style.clipPath = `inset(${shown.inset.map(part => `${100 * part}%`).join(" ")})`
    if (shown.sharp) over.classList.add("sharp")
    inside.append(over)
  }
  if (shown.lines && side.cells) inside.append(lines(side))
  const cross = element("div", "cross")
  cross.hidden = true
  frame.append(cross)
  const read = element("p", "read", shown.told)
  read.setAttribute("aria-live", "polite")
  const { told } = shown
  const one = { frame, canvas: frame, inside, cross, read, told, side: index, isDifference }
  all.pictures.push(one)
  listenToFingers(all, one)
  frame.onpointermove = event => {
    dragged(all, one, event)
    const { x, y } = placeOf(all, one, event)
    point(all, index, x, y)
  }
  frame.onpointerleave = () => point(all, index, null)
  frame.onblur = () => point(all, index, null)
  let at = [0.5, 0.5]
  frame.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (zoomKey(all, event.key)) return event.preventDefault()
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
    const move = moves[event.key]
    if (!move) return
    event.preventDefault()
    const step = STEP / all.window.zoom
    at = at.map((part, axis) => clamp(part + step * move[axis], 0, 0.999))
    all.pointed = [index, ...at]
    show(all, ...at)
  }
  return [frame, read]
}

// Show the place in every picture that it means the same in; null for no place.
function point(all, from, x, y) {
  all.pointed = x === null ? null : [from, x, y]
  const { zoom } = all.window
  const [left, top] = corner(all.window)
  for (const one of all.pictures) {
    const meant = x !== null && (all.linked || one.side === from)
    one.cross.hidden = !meant || x < left || y < top || x > left + 1 / zoom || y > top + 1 / zoom
    one.read.textContent = meant ? readAt(all, one, x, y) : one.told
    if (!meant) continue
    one.cross.style.left = `${100 * zoom * (x - left)}%`
    one.cross.style.top = `${100 * zoom * (y - top)}%`
  }
}

function readAt(all, { side, isDifference, told }, x, y) {
  const here = valueAt(all.sides[side], x, y)
  if (here === undefined) return told
  if (!isDifference) {
    if (!here) return "not seen by the network"
    const { cells } = all.sides[side]
    const [row, column] = [here.cell.y.index + 1, here.cell.x.index + 1]
    return `row ${row}, column ${column} of ${cells.rows} × ${cells.columns}: ${written(here.value)}`
  }
  const first = valueAt(all.sides.find(one => one.isReference), x, y)
  if (!here || !first) return "not seen by both"
  const value = here.value === null || first.value === null ? null : here.value - first.value
  return `${written(here.value)} minus ${written(first.value)}: ${signed(value)}`
}

// The cell under a place and its value; null where the network did not look, undefined without map.
function valueAt(side, x, y) {
  if (!side.axes) return undefined
  const cell = cellAt(side.axes, y * side.size[0], x * side.size[1])
  if (!cell) return null
  return { cell, value: side.cells.values[cell.y.index * side.cells.columns + cell.x.index] }
}

function signed(value) {
  return value === null ? "not a number" : `${value < 0 ? "−" : "+"}${written(Math.abs(value))}`
}

function lines({ cells, size }) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  made.setAttribute("viewBox", `0 0 ${size[1]} ${size[0]}`)
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  const [top, bottom] = [Math.min(...cells.rows_at), Math.max(...cells.rows_at)]
  const [left, right] = [Math.min(...cells.columns_at), Math.max(...cells.columns_at)]
  const across = cells.rows_at.map(y => `M${left} ${y}H${right}`)
  const down = cells.columns_at.map(x => `M${x} ${top}V${bottom}`)
  path.setAttribute("d", [...across, ...down].join(""))
  made.append(path)
  return made
}

function bar(shown) {
  const whole = element("div", "scale")
  whole.title = shown.hint
  const ramp = element("div", "ramp")
  ramp.style.background = `linear-gradient(to right, ${shown.colors.join(", ")})`
  const ticks = element("div", "ticks")
  ticks.append(...shown.ticks.map(text => element("span", "", text)))
  whole.append(element("span", "", shown.label), ramp, ticks)
  if (shown.lines) whole.append(element("span", "", shown.lines))
  return whole
}

function image(source, opacity) {
  const made = element("img")
  made.src = source
  made.alt = ""
  made.draggable = false // else the browser takes the picture in place of moving it
  made.style.opacity = opacity
  return made
}

function element(tag, kind = "", text = "") {
  const made = document.createElement(tag)
  if (kind) made.className = kind
  if (text) made.textContent = text
  return made
}
