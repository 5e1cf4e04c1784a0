// What pictures with one zoom have in common: a window on the photo, by wheel, buttons and fingers.
// `viewer` has a `window` and its `pointers`, each of its sides a `canvas`, whatever that is; what a
// change means, `update` of the part knows.

const WHOLE = { zoom: 1, x: 0.5, y: 0.5 }
const MOST_ZOOM = 16

// Left and top of the window as shares of the photo, and how much of it the window shows.
function corner({ zoom, x, y }) {
  return [x - 0.5 / zoom, y - 0.5 / zoom, 1 / zoom]
}

function moveWindow(viewer, zoom, x, y) {
  const kept = clamp(zoom, 1, MOST_ZOOM)
  const half = 0.5 / kept
  viewer.window = { zoom: kept, x: clamp(x, half, 1 - half), y: clamp(y, half, 1 - half) }
  update(viewer)
}

// Zoom so that the place `at` stays where it is on the screen.
function zoomAround(viewer, at, factor) {
  const [left, top, part] = corner(viewer.window)
  const zoom = clamp(viewer.window.zoom * factor, 1, MOST_ZOOM)
  const across = (at.x - left) / part
  const down = (at.y - top) / part
  moveWindow(viewer, zoom, at.x + (0.5 - across) / zoom, at.y + (0.5 - down) / zoom)
}

function zoomBy(viewer, factor) {
  zoomAround(viewer, viewer.window, factor)
}

function placeOf(viewer, side, event) {
  const box = side.canvas.getBoundingClientRect()
  const [left, top, part] = corner(viewer.window)
  return {
    x: left + ((event.clientX - box.left) / box.width) * part,
    y: top + ((event.clientY - box.top) / box.height) * part,
    side,
  }
}

// At either end of the zoom the wheel is the page's.
function listenToWheel(viewer, side, frame) {
  const wheel = event => {
    const lines = event.deltaMode === 1 ? 16 : 1
    const before = viewer.window.zoom
    zoomAround(viewer, placeOf(viewer, side, event), Math.exp(-0.002 * lines * event.deltaY))
    if (viewer.window.zoom !== before) event.preventDefault()
  }
  frame.addEventListener("wheel", wheel, { passive: false })
}

// Pixels on the screen that the window is dragged by.
function drag(viewer, side, across, down) {
  const box = side.canvas.getBoundingClientRect()
  const { zoom, x, y } = viewer.window
  moveWindow(viewer, zoom, x - across / box.width / zoom, y - down / box.height / zoom)
}

// Two fingers: their distance zooms, their middle moves.
function pinch(viewer, side, pointer, before) {
  const other = [...viewer.pointers.values()].find(one => one !== pointer).now
  const middle = point => ({ clientX: (point.x + other.x) / 2, clientY: (point.y + other.y) / 2 })
  const distance = point => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y))
  const held = placeOf(viewer, side, middle(before))
  zoomAround(viewer, held, distance(pointer.now) / distance(before))
  const slipped = placeOf(viewer, side, middle(pointer.now))
  const { zoom, x, y } = viewer.window
  moveWindow(viewer, zoom, x + held.x - slipped.x, y + held.y - slipped.y)
  viewer.pointers.forEach(one => (one.kind = "pinch"))
}
