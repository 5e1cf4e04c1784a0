// Part of the viewer: pan, cursor and box by mouse, touch and keyboard.

const DRAG = 4 // pixels from which on a press is a drag

function listenTo(viewer, side) {
  const { frame } = side
  listenToWheel(viewer, side, frame)
  frame.onpointerdown = event => press(viewer, side, event)
  frame.onpointermove = event => move(viewer, side, event)
  frame.onpointerup = frame.onpointercancel = event => release(viewer, event)
  frame.onpointerleave = event => {
    if (event.pointerType === "mouse" && !viewer.pointers.size) setCursor(viewer, null)
  }
  frame.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (pressKey(viewer, side, event)) event.preventDefault()
  }
}

function setCursor(viewer, place) {
  viewer.cursor = place
  update(viewer)
}

function press(viewer, side, event) {
  if (event.button) return
  const touch = event.pointerType !== "mouse"
  const enlarged = viewer.window.zoom > 1
  const boxes = viewer.boxing || (!touch && (event.shiftKey || !enlarged))
  viewer.pointers.set(event.pointerId, {
    start: placeOf(viewer, side, event),
    from: { x: event.clientX, y: event.clientY },
    now: { x: event.clientX, y: event.clientY },
    kind: boxes ? "box" : enlarged ? "pan" : "",
    moved: false,
  })
  setCursor(viewer, placeOf(viewer, side, event))
  side.frame.setPointerCapture(event.pointerId)
}

function move(viewer, side, event) {
  const pointer = viewer.pointers.get(event.pointerId)
  if (!pointer) {
    if (event.pointerType === "mouse") setCursor(viewer, placeOf(viewer, side, event))
    return
  }
  const before = pointer.now
  pointer.now = { x: event.clientX, y: event.clientY }
  if (viewer.pointers.size === 2) return pinch(viewer, side, pointer, before)
  const far = Math.hypot(pointer.now.x - pointer.from.x, pointer.now.y - pointer.from.y)
  pointer.moved ||= far >= DRAG
  const here = placeOf(viewer, side, event)
  setCursor(viewer, here)
  if (!pointer.moved) return
  if (pointer.kind === "box") viewer.box = boxOf(pointer.start, here)
  if (pointer.kind === "pan") {
    drag(viewer, side, pointer.now.x - before.x, pointer.now.y - before.y)
  }
}

function release(viewer, event) {
  const pointer = viewer.pointers.get(event.pointerId)
  viewer.pointers.delete(event.pointerId)
  if (!pointer || event.type === "pointercancel") return
  // A click beside a drag takes the box away; a drawn one ends the tool, so that a finger scrolls.
  if (pointer.kind === "box" && !pointer.moved) viewer.box = null
  if (pointer.kind === "box" && pointer.moved) viewer.boxing = false
  viewer.anchor = null
  update(viewer)
}

function boxOf(one, other) {
  const inside = value => clamp(value, 0, 1)
  const [x0, x1] = [inside(one.x), inside(other.x)].sort((a, b) => a - b)
  const [y0, y1] = [inside(one.y), inside(other.y)].sort((a, b) => a - b)
  return { x0, y0, x1, y1 }
}

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }

// Returns whether the key was one of the viewer's.
function pressKey(viewer, side, event) {
  const { key } = event
  if (ARROWS[key]) {
    const [down, across] = ARROWS[key]
    if (viewer.window.zoom > 1 && !event.shiftKey) {
      const { zoom, x, y } = viewer.window
      moveWindow(viewer, zoom, x + (0.1 * across) / zoom, y + (0.1 * down) / zoom)
      return true
    }
    return stepCell(viewer, side, down, across)
  }
  const actions = { "+": "in", "=": "in", "-": "out", 0: "whole", f: "full", F: "full" }
  if (actions[key]) act(viewer, actions[key])
  else if (key === "b" || key === "B") toggleAnchor(viewer, side)
  else if (key === "Escape" && (viewer.box || viewer.cursor || viewer.boxing)) {
    Object.assign(viewer, { box: null, anchor: null, cursor: null, boxing: false })
    say(viewer, "No box.")
    update(viewer)
  } else return false
  return true
}

// Go to the neighbouring cell; the first step marks the cell in the middle of what is shown.
function stepCell(viewer, side, down, across) {
  if (!side.axes) return false
  const [height, width] = side.data.size
  const { cursor } = viewer
  const from = cursor || viewer.window
  const next = (intervals, at, by) => {
    const found = intervals.findIndex(({ high }) => at < high)
    const here = found < 0 ? intervals.length - 1 : found
    return intervals[clamp(here + (cursor ? by : 0), 0, intervals.length - 1)]
  }
  const cell = {
    y: next(side.axes.y, from.y * height, down),
    x: next(side.axes.x, from.x * width, across),
  }
  viewer.cursor = {
    x: (cell.x.low + cell.x.high) / 2 / width,
    y: (cell.y.low + cell.y.high) / 2 / height,
    side,
  }
  const { zoom, x, y } = viewer.window
  const near = (middle, at) => clamp(middle, at - 0.4 / zoom, at + 0.4 / zoom)
  moveWindow(viewer, zoom, near(x, viewer.cursor.x), near(y, viewer.cursor.y))
  if (viewer.anchor) viewer.box = aroundCells(viewer.anchor, cell, side)
  const others = viewer.sides.filter(other => other !== side && other.axes)
  const texts = others.map(other => {
    const [h, w] = other.data.size
    const found = cellAt(other.axes, viewer.cursor.y * h, viewer.cursor.x * w)
    return `${other.data.title}: ${found ? cellText(other.data, found) : "not seen by the network"}`
  })
  say(viewer, [cellText(side.data, cell), ...texts].join(". "))
  return true
}

// The first B starts a box at the cell of the cursor, which then grows with it; the second ends it.
function toggleAnchor(viewer, side) {
  if (!side.axes) return
  if (viewer.anchor) {
    viewer.anchor = null
    say(viewer, "The box is done.")
    return
  }
  if (!viewer.cursor) stepCell(viewer, side, 0, 0)
  const [height, width] = side.data.size
  const cell = cellAt(side.axes, viewer.cursor.y * height, viewer.cursor.x * width)
  if (!cell) return say(viewer, "Not seen by the network: no box starts here.")
  viewer.anchor = cell
  viewer.box = aroundCells(cell, cell, side)
  say(viewer, "A box starts at this cell. Shift and arrow keys make it larger; B ends it.")
  update(viewer)
}

function aroundCells(one, other, side) {
  const [height, width] = side.data.size
  return {
    x0: Math.min(one.x.low, other.x.low) / width,
    x1: Math.max(one.x.high, other.x.high) / width,
    y0: Math.min(one.y.low, other.y.low) / height,
    y1: Math.max(one.y.high, other.y.high) / height,
  }
}

function say(viewer, text) {
  viewer.said.textContent = text
}

function listenToTools(viewer) {
  viewer.tools.onclick = event => {
    const button = event.target.closest("button")
    if (button) act(viewer, button.dataset.do)
  }
  viewer.root.addEventListener("fullscreenchange", () => update(viewer))
}

function act(viewer, what) {
  if (what === "in") zoomBy(viewer, 1.5)
  if (what === "out") zoomBy(viewer, 1 / 1.5)
  if (what === "whole") moveWindow(viewer, 1, 0.5, 0.5)
  if (what === "box") {
    viewer.boxing = !viewer.boxing
    if (!viewer.boxing) viewer.box = null
    update(viewer)
  }
  if (what === "full") {
    if (isFull(viewer)) document.exitFullscreen()
    else viewer.root.requestFullscreen?.().catch(() => say(viewer, "Full screen is not allowed."))
  }
}

function isFull(viewer) {
  return viewer.root.getRootNode().fullscreenElement === viewer.root
}

function showTools(viewer) {
  const { zoom } = viewer.window
  const button = name => viewer.tools.querySelector(`[data-do=${name}]`)
  viewer.tools.querySelector(".zoom").textContent = `${Math.round(100 * zoom)} %`
  // Not the attribute `disabled`: a button would lose the focus at the last step.
  for (const name of ["out", "whole"]) button(name).setAttribute("aria-disabled", zoom <= 1)
  button("in").setAttribute("aria-disabled", zoom >= MOST_ZOOM)
  button("box").hidden = !viewer.sides.some(side => side.axes)
  button("box").setAttribute("aria-pressed", viewer.boxing)
  button("full").hidden = !document.fullscreenEnabled
  button("full").textContent = isFull(viewer) ? "Leave full screen" : "Full screen"
  for (const { frame } of viewer.sides) {
    frame.classList.toggle("holds", viewer.boxing || zoom > 1)
    frame.classList.toggle("moves", zoom > 1 && !viewer.boxing)
  }
}
