// The photo with a map over it. Photo and map come as two pictures and are blended here, so that
// dragging the opacity asks nothing of the server. The value is sent once, when the drag ends.

const instances = new WeakMap()

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const root = parentElement.querySelector(".viewer")
  if (!root || !data) return
  let viewer = instances.get(root)
  if (!viewer) {
    viewer = create(root)
    instances.set(root, viewer)
  }
  viewer.commit = value => setStateValue("opacity", value)
  show(viewer, data)
}

function create(root) {
  const viewer = {
    root,
    canvas: root.querySelector("canvas"),
    readout: root.querySelector(".readout"),
    slider: root.querySelector("input"),
    percent: root.querySelector(".percent"),
    photo: picture(),
    layer: picture(),
    data: null,
    opacity: 0,
    dragging: false,
    frame: 0,
  }
  viewer.slider.oninput = () => {
    viewer.dragging = true
    setOpacity(viewer, viewer.slider.valueAsNumber / 100)
  }
  viewer.slider.onchange = () => {
    viewer.dragging = false
    viewer.commit(viewer.slider.valueAsNumber / 100)
  }
  viewer.canvas.onpointermove = event => read(viewer, event)
  viewer.canvas.onpointerleave = () => (viewer.readout.hidden = true)
  return viewer
}

function picture() {
  return { source: "", image: null, turn: 0 }
}

async function show(viewer, data) {
  viewer.data = data
  const [height, width] = data.size
  if (viewer.canvas.width !== width || viewer.canvas.height !== height) {
    viewer.canvas.width = width
    viewer.canvas.height = height
  }
  // A portrait photo must not push the controls off the screen.
  viewer.canvas.style.maxWidth = `calc(72vh * ${width / height})`
  viewer.canvas.setAttribute("aria-label", data.alt)
  viewer.root.querySelector(".opacity").hidden = data.show !== "overlay"
  if (!viewer.dragging) setOpacity(viewer, data.opacity)
  fillBar(viewer.root.querySelector(".bar"), data.bar)
  const ready = await Promise.all([load(viewer.photo, data.photo), load(viewer.layer, data.layer)])
  if (ready.every(Boolean)) draw(viewer)
}

async function load(slot, source) {
  if (slot.source === source) return true
  const turn = ++slot.turn
  const image = new Image()
  image.src = source
  await image.decode()
  if (turn !== slot.turn) return false // a newer picture was asked for meanwhile
  slot.source = source
  slot.image = image
  return true
}

function setOpacity(viewer, opacity) {
  viewer.opacity = opacity
  const percent = Math.round(opacity * 100)
  if (viewer.slider.valueAsNumber !== percent) viewer.slider.value = percent
  viewer.percent.textContent = `${percent} %`
  if (!viewer.frame) {
    viewer.frame = requestAnimationFrame(() => {
      viewer.frame = 0
      draw(viewer)
    })
  }
}

function draw(viewer) {
  const { canvas, data, photo, layer } = viewer
  if (!photo.image || !layer.image) return
  const context = canvas.getContext("2d")
  // Map and contours are complete pictures; an overlay must leave the hatched parts as they are.
  const overlay = data.show === "overlay"
  const [top, left, bottom, right] = overlay ? data.seen : [0, 0, canvas.height, canvas.width]
  context.imageSmoothingQuality = "high"
  context.globalAlpha = 1
  context.drawImage(photo.image, 0, 0, canvas.width, canvas.height)
  context.save()
  context.beginPath()
  context.rect(left, top, right - left, bottom - top)
  context.clip()
  context.globalAlpha = overlay ? viewer.opacity : 1
  context.drawImage(layer.image, 0, 0, canvas.width, canvas.height)
  context.restore()
  canvas.dataset.drawn = `${data.name} ${data.show} ${Math.round(viewer.opacity * 100)}`
}

function fillBar(bar, spec) {
  bar.querySelector(".name").textContent = spec.label
  bar.querySelector(".ramp").style.background = `linear-gradient(to right, ${spec.colors.join(", ")})`
  const ticks = bar.querySelector(".ticks")
  ticks.replaceChildren(
    ...spec.ticks.map(text => {
      const tick = document.createElement("span")
      tick.textContent = text
      return tick
    })
  )
}

// The map's value under the pointer, interpolated between cell centres as in the picture.
function read(viewer, event) {
  const { cells } = viewer.data
  const box = viewer.canvas.getBoundingClientRect()
  const [height, width] = viewer.data.size
  const x = ((event.clientX - box.left) / box.width) * width
  const y = ((event.clientY - box.top) / box.height) * height
  const [top, left, bottom, right] = viewer.data.seen
  const seen = y >= top && y < bottom && x >= left && x < right
  viewer.readout.hidden = false
  viewer.readout.textContent = seen ? written(interpolate(cells, y, x)) : "not seen by the model"
  viewer.readout.style.left = `${event.clientX - box.left + viewer.canvas.offsetLeft}px`
  viewer.readout.style.top = `${event.clientY - box.top}px`
}

function written(value) {
  return Number.isNaN(value) ? "not a number" : value.toFixed(3)
}

function interpolate(cells, y, x) {
  const { rows, columns, values } = cells
  const at = (i, j) => values[i * columns + j] ?? NaN
  const i = clamp(cells.y[0] + cells.y[1] * y, 0, rows - 1)
  const j = clamp(cells.x[0] + cells.x[1] * x, 0, columns - 1)
  const i0 = Math.floor(i)
  const j0 = Math.floor(j)
  const i1 = Math.min(i0 + 1, rows - 1)
  const j1 = Math.min(j0 + 1, columns - 1)
  const u = i - i0
  const v = j - j0
  return (
    (at(i0, j0) * (1 - v) + at(i0, j1) * v) * (1 - u) + (at(i1, j0) * (1 - v) + at(i1, j1) * v) * u
  )
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high)
}
