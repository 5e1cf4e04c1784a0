// A photo with the cells of a map on it, to paint on. What is painted is what the network multiplies
// by: a stroke is a list of cells with their new values, nothing for a cell's own value.
//
// The strokes are kept here and sent whole, as the last word: of two that are sent at once the server
// may see one alone. It gives back what it knows, which counts until somebody paints further.

const instances = new WeakMap()
const MOST_STROKES = 100
const MOST_PAIRS = 20000

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".painter")
  if (!root || !data) return
  let painter = instances.get(root)
  if (!painter) {
    painter = create(root)
    instances.set(root, painter)
  }
  painter.tell = setTriggerValue
  show(painter, data)
}

function create(root) {
  const painter = {
    root,
    frame: root.querySelector(".frame"),
    canvas: root.querySelector("canvas"),
    marks: root.querySelector(".marks"),
    readout: root.querySelector(".readout"),
    numbers: root.querySelector(".numbers"),
    said: root.querySelector(".said"),
    tools: root.querySelector(".tools"),
    value: root.querySelector("input.value"),
    size: root.querySelector("input.size"),
    photo: picture(),
    data: null,
    axes: null,
    turn: 0,
    drawing: 0,
    strokes: [],
    done: 0,
    revision: 0,
    // A finger has to be able to scroll over the picture until somebody takes the brush.
    tool: matchMedia("(pointer: coarse)").matches ? null : "brush",
    stroke: null, // cells of the stroke that is being painted
    erases: false,
    pointer: null,
    last: null, // where the pointer was, in cells
    cursor: null,
  }
  listen(painter)
  return painter
}

// What was there stays until the photo of the new data can be drawn.
async function show(painter, data) {
  const turn = ++painter.turn
  const photo = await load(painter.photo, data.photo)
  if (turn !== painter.turn) return
  const other = painter.data?.frame !== data.frame
  if (other || data.painting.revision >= painter.revision) Object.assign(painter, data.painting)
  if (other) Object.assign(painter, { pointer: null, stroke: null, cursor: null })
  const first = !painter.data
  Object.assign(painter, { data, photo, axes: axesOf(data) })
  const [height, width] = data.size
  if (painter.canvas.width !== width || painter.canvas.height !== height) {
    Object.assign(painter.canvas, { width, height })
  }
  painter.frame.style.setProperty("--aspect", width / height)
  painter.frame.setAttribute("aria-label", `Paint on ${data.title}`)
  painter.canvas.setAttribute("aria-label", data.alt)
  fillBar(painter.root.querySelector(".bar"), data.bar)
  if (first || other) fillSliders(painter)
  redraw(painter)
}

function fillSliders(painter) {
  const { low, high, most, value, brush } = painter.data
  Object.assign(painter.value, { min: low, max: high, step: (high - low) / 100 })
  Object.assign(painter.size, { min: 1, max: most })
  painter.value.value = value
  painter.size.value = brush
}

function update(painter) {
  painter.drawing ||= requestAnimationFrame(() => {
    painter.drawing = 0
    if (painter.data) redraw(painter)
  })
}

// The painted cells by number, with what was painted there.
function painted(painter) {
  const cells = new Map()
  const put = ([cell, value]) => (value === null ? cells.delete(cell) : cells.set(cell, value))
  painter.strokes.slice(0, painter.done).forEach(stroke => stroke.forEach(put))
  if (painter.stroke) [...painter.stroke].forEach(put)
  return cells
}

// Put a stroke at the end; those that were undone are gone.
function commit(painter, stroke) {
  const own = painted({ ...painter, stroke: null })
  const changes = stroke.filter(([cell, value]) => (own.get(cell) ?? null) !== value)
  if (!changes.length) return
  painter.strokes = [...painter.strokes.slice(0, painter.done), changes]
  const pairs = () => painter.strokes.reduce((sum, one) => sum + one.length, 0)
  while (painter.strokes.length > MOST_STROKES || (painter.strokes.length > 2 && pairs() > MOST_PAIRS)) {
    const [first, second, ...others] = painter.strokes
    painter.strokes = [[...new Map([...first, ...second])], ...others]
  }
  send(painter, painter.strokes.length)
}

function send(painter, done) {
  painter.done = done
  painter.revision++
  const { strokes, revision, data } = painter
  painter.tell("painted", { frame: data.frame, strokes, done, revision })
  update(painter)
}

function redraw(painter) {
  const cells = painted(painter)
  drawCells(painter, cells)
  outline(painter, cells)
  readOut(painter, cells)
  showTools(painter, cells)
}

function drawCells(painter, cells) {
  const { canvas, data, axes, photo } = painter
  const context = canvas.getContext("2d")
  context.globalAlpha = 1
  context.imageSmoothingQuality = "high"
  context.drawImage(photo.image, 0, 0, canvas.width, canvas.height)
  context.globalAlpha = data.opacity
  for (const row of axes.y) {
    for (const column of axes.x) {
      const cell = row.index * data.columns + column.index
      const value = cells.get(cell) ?? data.values[cell]
      if (value === null) continue
      const share = clamp((value - data.low) / (data.high - data.low), 0, 1)
      context.fillStyle = data.colors[Math.round(share * (data.colors.length - 1))]
      const [left, top] = [Math.round(column.low), Math.round(row.low)]
      context.fillRect(left, top, Math.round(column.high) - left, Math.round(row.high) - top)
    }
  }
  canvas.dataset.drawn = `${data.name} ${painter.revision}`
  canvas.dataset.painted = cells.size
}

// Lines where painted cells meet others, and around the cells that the brush would reach.
function outline(painter, cells) {
  const { marks, data, cursor } = painter
  const [height, width] = data.size
  marks.setAttribute("viewBox", `0 0 ${width} ${height}`)
  marks.querySelector(".painted").setAttribute("d", borders(painter, cells))
  const reached = cursor ? new Map(reach(painter, cursor).map(cell => [cell, 1])) : new Map()
  marks.querySelector(".cell").setAttribute("d", borders(painter, reached))
}

function borders({ axes, data }, cells) {
  const has = (row, column) => row && column && cells.has(row.index * data.columns + column.index)
  const lines = []
  axes.y.forEach((row, i) =>
    axes.x.forEach((column, j) => {
      if (!has(row, column)) return
      if (!has(axes.y[i - 1], column)) lines.push(`M${column.low} ${row.low}H${column.high}`)
      if (!has(axes.y[i + 1], column)) lines.push(`M${column.low} ${row.high}H${column.high}`)
      if (!has(row, axes.x[j - 1])) lines.push(`M${column.low} ${row.low}V${row.high}`)
      if (!has(row, axes.x[j + 1])) lines.push(`M${column.high} ${row.low}V${row.high}`)
    })
  )
  return lines.join("")
}

function readOut(painter, cells) {
  const { axes, cursor, readout, canvas, data } = painter
  const cell = cursor && cellAt(axes, cursor.y, cursor.x)
  readout.hidden = !cursor
  if (!cursor) return
  readout.textContent = cell ? cellText(painter, cell, cells) : "not seen by the network"
  const [height, width] = data.size
  const at = { x: (cursor.x / width) * canvas.clientWidth, y: (cursor.y / height) * canvas.clientHeight }
  const half = readout.offsetWidth / 2
  const left = clamp(at.x, half, Math.max(half, canvas.clientWidth - half))
  const above = at.y - 2.2 * readout.offsetHeight
  readout.style.left = `${left - half}px`
  readout.style.top = `${above < 0 ? at.y + 24 : above}px`
}

function cellText({ data }, cell, cells) {
  const { rows, columns, values } = data
  const number = cell.y.index * columns + cell.x.index
  const own = written(values[number])
  const place = `row ${cell.y.index + 1}, column ${cell.x.index + 1} of ${rows} × ${columns}`
  return cells.has(number)
    ? `${place}: painted ${written(cells.get(number))}, its own ${own}`
    : `${place}: ${own}`
}

function showTools(painter, cells) {
  const { tools, tool, done, strokes, frame, numbers, axes } = painter
  const button = name => tools.querySelector(`[data-do=${name}]`)
  for (const name of ["brush", "eraser"]) button(name).setAttribute("aria-pressed", tool === name)
  // Not the attribute `disabled`: a button would lose the focus at the last step.
  button("undo").setAttribute("aria-disabled", done === 0)
  button("redo").setAttribute("aria-disabled", done === strokes.length)
  button("clear").setAttribute("aria-disabled", cells.size === 0)
  frame.classList.toggle("holds", tool !== null)
  painter.value.parentElement.querySelector("output").textContent = painter.value.valueAsNumber.toFixed(2)
  const size = painter.size.valueAsNumber
  painter.size.parentElement.querySelector("output").textContent = size === 1 ? "1 cell" : `${size} cells`
  const every = axes.y.length * axes.x.length
  const how = tool ? "" : " Take the brush or the eraser to paint; put it down to scroll over the picture."
  const count = cells.size ? `${cells.size} of ${every} cells painted.` : `Nothing painted yet: ${every} cells.`
  if (!painter.stroke) numbers.textContent = count + how
}
