// Part of the painter: brush and eraser by mouse, touch, pen and keyboard.

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
const PEN_ERASER = 32 // the bit of the end of a pen that erases

function listen(painter) {
  const { frame, tools, value, size } = painter
  frame.onpointerdown = event => press(painter, event)
  frame.onpointermove = event => move(painter, event)
  frame.onpointerup = event => release(painter, event)
  frame.onpointercancel = () => drop(painter)
  frame.onpointerleave = event => {
    if (event.pointerType === "mouse" && painter.pointer === null) setCursor(painter, null)
  }
  frame.onkeydown = event => {
    if (painter.data && pressKey(painter, event)) event.preventDefault()
  }
  tools.onclick = event => {
    const button = event.target.closest("button")
    if (button && painter.data) act(painter, button.dataset.do)
  }
  for (const slider of [value, size]) {
    slider.oninput = () => update(painter)
    slider.onchange = () => tellBrush(painter)
  }
}

function tellBrush(painter) {
  const [value, size] = [painter.value.valueAsNumber, painter.size.valueAsNumber]
  painter.tell("brush", { value: rounded(value), brush: size })
  update(painter)
}

function rounded(value) {
  return Math.round(100 * value) / 100
}

function setCursor(painter, place) {
  painter.cursor = place
  update(painter)
}

// A place in pixels of the picture.
function placeOf({ canvas }, event) {
  const box = canvas.getBoundingClientRect()
  return {
    x: ((event.clientX - box.left) / box.width) * canvas.width,
    y: ((event.clientY - box.top) / box.height) * canvas.height,
  }
}

function press(painter, event) {
  if (!painter.data) return
  // A second finger is no stroke: it zooms the page.
  if (painter.pointer !== null) return drop(painter)
  const place = placeOf(painter, event)
  const erases = painter.tool === "eraser" || (event.buttons & PEN_ERASER) !== 0
  if (![0, 5].includes(event.button) || !painter.tool) return setCursor(painter, place)
  Object.assign(painter, { pointer: event.pointerId, stroke: new Map(), erases, last: place })
  painter.frame.setPointerCapture(event.pointerId)
  paintTo(painter, place)
}

function move(painter, event) {
  if (!painter.data) return
  if (painter.pointer === null) {
    if (event.pointerType !== "touch") setCursor(painter, placeOf(painter, event))
    return
  }
  if (event.pointerId !== painter.pointer) return
  // What the browser saw between two frames too, so that a quick stroke is where the hand was.
  const seen = event.getCoalescedEvents?.() ?? []
  for (const one of seen.length ? seen : [event]) paintTo(painter, placeOf(painter, one))
}

function release(painter, event) {
  if (event.pointerId !== painter.pointer) return
  const stroke = [...painter.stroke]
  drop(painter)
  if (event.pointerType === "touch") painter.cursor = null
  commit(painter, stroke)
}

function drop(painter) {
  Object.assign(painter, { pointer: null, stroke: null, last: null })
  update(painter)
}

// Paint all cells between the last place and this one, in steps of a quarter of a cell.
function paintTo(painter, place) {
  const { last, data } = painter
  const [down, across] = [place.y - last.y, place.x - last.x]
  const cells = Math.max(Math.abs(down * data.y[1]), Math.abs(across * data.x[1]))
  const steps = Math.max(1, Math.ceil(4 * cells))
  for (let step = 1; step <= steps; step++) {
    paintAt(painter, { y: last.y + (down * step) / steps, x: last.x + (across * step) / steps })
  }
  painter.last = place
  setCursor(painter, place)
}

function paintAt(painter, place) {
  const value = painter.erases ? null : rounded(painter.value.valueAsNumber)
  for (const cell of reach(painter, place)) painter.stroke.set(cell, value)
}

// The cells that the brush reaches: the one under its middle, and those whose centres lie within.
// Those that the network's input has beyond the photo are none.
function reach({ axes, data, size }, place) {
  const middle = cellAt(axes, place.y, place.x)
  const radius = size.valueAsNumber / 2
  const i = data.y[0] + data.y[1] * place.y
  const j = data.x[0] + data.x[1] * place.x
  const found = []
  for (const row of axes.y) {
    for (const column of axes.x) {
      const under = middle && row === middle.y && column === middle.x
      const near = radius > 0.5 && Math.hypot(row.index - i, column.index - j) <= radius
      if (under || near) found.push(row.index * data.columns + column.index)
    }
  }
  return found
}

function act(painter, what) {
  const { done, strokes } = painter
  if (what === "brush" || what === "eraser") {
    painter.tool = painter.tool === what ? null : what
    return update(painter)
  }
  if (what === "undo" && done > 0) send(painter, done - 1)
  else if (what === "redo" && done < strokes.length) send(painter, done + 1)
  else if (what === "clear") commit(painter, [...painted(painter).keys()].map(cell => [cell, null]))
  else return
  painter.said.textContent = { undo: "Undone.", redo: "Put on again.", clear: "All cleared." }[what]
}

// Returns whether the key was one of the painter's.
function pressKey(painter, event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z" && key !== "y") return false
    act(painter, key === "y" || event.shiftKey ? "redo" : "undo")
    return true
  }
  if (event.altKey) return false
  if (ARROWS[key]) return stepCell(painter, ...ARROWS[key])
  if (key === "Enter" || key === " ") return strokeHere(painter, painter.tool === "eraser")
  if (key === "Delete" || key === "Backspace") return strokeHere(painter, true)
  if (key === "b" || key === "e") act(painter, key === "b" ? "brush" : "eraser")
  else if (key === "[" || key === "]") nudge(painter, painter.size, key === "]")
  else if (key === "-" || key === "+" || key === "=") nudge(painter, painter.value, key !== "-", 5)
  else if (key === "Escape" && painter.pointer !== null) drop(painter)
  else return false
  return true
}

function nudge(painter, slider, up, steps = 1) {
  if (up) slider.stepUp(steps)
  else slider.stepDown(steps)
  tellBrush(painter)
  const what = slider === painter.size ? "Brush of" : "Paints"
  const output = slider.parentElement.querySelector("output")
  requestAnimationFrame(() => (painter.said.textContent = `${what} ${output.textContent}.`))
}

// Go to the neighbouring cell; the first step marks the one in the middle.
function stepCell(painter, down, across) {
  const { axes, cursor, data } = painter
  const next = (intervals, at, by) => {
    const found = intervals.findIndex(({ high }) => at < high)
    const here = found < 0 ? intervals.length - 1 : found
    return intervals[clamp(here + (cursor ? by : 0), 0, intervals.length - 1)]
  }
  const from = cursor || { y: data.size[0] / 2, x: data.size[1] / 2 }
  const cell = { y: next(axes.y, from.y, down), x: next(axes.x, from.x, across) }
  setCursor(painter, { y: (cell.y.low + cell.y.high) / 2, x: (cell.x.low + cell.x.high) / 2 })
  painter.said.textContent = cellText(painter, cell, painted(painter))
  return true
}

function strokeHere(painter, erases) {
  if (!painter.cursor) stepCell(painter, 0, 0)
  Object.assign(painter, { stroke: new Map(), erases })
  paintAt(painter, painter.cursor)
  const stroke = [...painter.stroke]
  painter.stroke = null
  commit(painter, stroke)
  const cell = cellAt(painter.axes, painter.cursor.y, painter.cursor.x)
  if (cell) painter.said.textContent = cellText(painter, cell, painted(painter))
  return true
}
