// Part of the frames: one zoom for all pictures, by wheel, buttons, keys, and fingers.

function listenToZoom(root, all) {
  const steps = { in: 1.5, out: 1 / 1.5 }
  all.tools = root.querySelector(".tools")
  all.tools.onclick = event => {
    const what = event.target.closest("button")?.dataset.do
    if (what === "whole") moveWindow(all, 1, 0.5, 0.5)
    else if (steps[what]) zoomBy(all, steps[what])
  }
}

// Returns whether the key was one of these.
function zoomKey(all, key) {
  if (key === "+" || key === "=") zoomBy(all, 1.5)
  else if (key === "-") zoomBy(all, 1 / 1.5)
  else if (key === "0") moveWindow(all, 1, 0.5, 0.5)
  else return false
  return true
}

// An enlarged picture is dragged by the mouse or one finger, and two fingers zoom any.
function listenToFingers(all, one) {
  const { frame } = one
  listenToWheel(all, one, frame)
  frame.onpointerdown = event => {
    if (event.button) return
    all.pointers.set(event.pointerId, { now: { x: event.clientX, y: event.clientY } })
    if (all.window.zoom > 1 || all.pointers.size > 1) frame.setPointerCapture(event.pointerId)
  }
  frame.onpointerup = frame.onpointercancel = event => all.pointers.delete(event.pointerId)
}

// Whether a move of a pointer was one of the window.
function dragged(all, one, event) {
  const pointer = all.pointers.get(event.pointerId)
  if (!pointer) return false
  const before = pointer.now
  pointer.now = { x: event.clientX, y: event.clientY }
  if (all.pointers.size === 2) pinch(all, one, pointer, before)
  else if (all.window.zoom > 1) drag(all, one, pointer.now.x - before.x, pointer.now.y - before.y)
  return all.window.zoom > 1
}

// The window follows a place that the keys moved out of it.
function show(all, x, y) {
  const half = 0.5 / all.window.zoom
  const kept = (at, middle) => clamp(middle, at - half, at + half)
  moveWindow(all, all.window.zoom, kept(x, all.window.x), kept(y, all.window.y))
}

// Draw the window in every picture.
function update(all) {
  const { zoom } = all.window
  const [left, top] = corner(all.window)
  all.keep(all.window)
  for (const { frame, inside } of all.pictures) {
    inside.style.transform = `scale(${zoom}) translate(${-100 * left}%, ${-100 * top}%)`
    frame.classList.toggle("moves", zoom > 1)
  }
  all.tools.querySelector(".zoom").textContent = `${Math.round(100 * zoom)} %`
  const button = name => all.tools.querySelector(`[data-do=${name}]`)
  // Not the attribute `disabled`: a button would lose the focus at the last step.
  for (const name of ["out", "whole"]) button(name).setAttribute("aria-disabled", zoom <= 1)
  button("in").setAttribute("aria-disabled", zoom >= MOST_ZOOM)
  point(all, ...(all.pointed || [0, null]))
}
