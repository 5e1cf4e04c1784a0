// One picture or two beside each other: photos with a map over each, one cursor, one zoom, one box.
// Photo and map come as two pictures and are blended here, so that dragging the opacity asks
// nothing of the server. The value is sent once, when the drag ends.
//
// Places are shares of a photo's width and height, so that they mean the same on both pictures.

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
    sides: [],
    tools: root.querySelector(".tools"),
    slider: root.querySelector("input"),
    percent: root.querySelector(".percent"),
    said: root.querySelector(".said"),
    data: null,
    turn: 0,
    opacity: 0,
    dragging: false,
    frame: 0,
    window: { ...WHOLE },
    cursor: null,
    box: null,
    anchor: null,
    boxing: false,
    pointers: new Map(),
  }
  addSide(viewer, root.querySelector(".side"))
  viewer.slider.oninput = () => {
    viewer.dragging = true
    setOpacity(viewer, viewer.slider.valueAsNumber / 100)
  }
  viewer.slider.onchange = () => {
    viewer.dragging = false
    viewer.commit(viewer.slider.valueAsNumber / 100)
  }
  listenToTools(viewer)
  return viewer
}

function addSide(viewer, element) {
  const side = {
    element,
    frame: element.querySelector(".frame"),
    canvas: element.querySelector("canvas"),
    marks: element.querySelector(".marks"),
    foundPath: element.querySelector(".found"),
    labels: element.querySelector(".labels"),
    cross: element.querySelector(".cross"),
    readout: element.querySelector(".readout"),
    numbers: element.querySelector(".numbers"),
    photo: picture(),
    layer: picture(),
    data: null,
    axes: null,
  }
  viewer.sides.push(side)
  listenTo(viewer, side)
}

// What was there stays, dimmed, until every picture of the new data can be drawn.
async function show(viewer, data) {
  const turn = ++viewer.turn
  if (!viewer.dragging) setOpacity(viewer, data.opacity)
  if (!viewer.data) takeRoom(viewer.sides[0], data) // what lies below stays where it is
  const wanted = [data, data.second].filter(Boolean)
  viewer.root.classList.add("waiting")
  const images = await Promise.all(
    wanted.map((one, i) =>
      Promise.all([
        load(viewer.sides[i]?.photo, one.photo),
        load(viewer.sides[i]?.layer, one.layer),
      ])
    )
  )
  if (turn !== viewer.turn) return // newer data came meanwhile
  viewer.root.classList.remove("waiting")
  const before = viewer.data
  viewer.data = data
  while (viewer.sides.length < wanted.length) {
    const element = viewer.sides[0].element.cloneNode(true)
    viewer.root.querySelector(".sides").append(element)
    addSide(viewer, element)
  }
  for (const extra of viewer.sides.splice(wanted.length)) extra.element.remove()
  viewer.sides.forEach((side, i) => {
    ;[side.photo, side.layer] = images[i]
    fillSide(side, wanted[i], wanted.length > 1)
  })
  if (!before || before.frame !== data.frame) {
    Object.assign(viewer, { window: { ...WHOLE }, cursor: null, box: null, anchor: null })
  }
  viewer.root.querySelector(".opacity").hidden = data.show !== "overlay"
  fillBars(viewer.root.querySelector(".below"), [data.bar, data.second_bar].filter(Boolean))
  redraw(viewer) // at once: a canvas of a new size is empty
}

function fillSide(side, data, several) {
  side.data = data
  side.axes = data.cells && axesOf(data.cells)
  fillFound(side, data)
  takeRoom(side, data)
  side.frame.setAttribute("aria-label", `Picture of ${data.title}`)
  side.canvas.setAttribute("aria-label", data.alt)
  side.element.querySelector(".heading").hidden = !several
  side.element.querySelector(".title").textContent = data.title
  side.element.querySelector(".subtitle").textContent = data.subtitle
}

function takeRoom(side, { size: [height, width] }) {
  if (side.canvas.width !== width || side.canvas.height !== height) {
    side.canvas.width = width
    side.canvas.height = height
  }
  side.frame.style.setProperty("--aspect", width / height)
}

function setOpacity(viewer, opacity) {
  viewer.opacity = opacity
  const percent = Math.round(opacity * 100)
  if (viewer.slider.valueAsNumber !== percent) viewer.slider.value = percent
  viewer.percent.textContent = `${percent} %`
  update(viewer)
}

// Draw at the browser's next frame, however much changes until then.
function update(viewer) {
  viewer.frame ||= requestAnimationFrame(() => {
    viewer.frame = 0
    if (viewer.data) redraw(viewer)
  })
}

function redraw(viewer) {
  for (const side of viewer.sides) {
    draw(viewer, side)
    mark(viewer, side)
  }
  showTools(viewer)
}

function draw(viewer, side) {
  const { canvas, data, photo, layer } = side
  const context = canvas.getContext("2d")
  const [x, y, part] = corner(viewer.window)
  const { width, height } = canvas
  const paint = image =>
    context.drawImage(
      image,
      x * image.naturalWidth,
      y * image.naturalHeight,
      part * image.naturalWidth,
      part * image.naturalHeight,
      0,
      0,
      width,
      height
    )
  const { show, style } = viewer.data
  context.globalAlpha = 1
  context.imageSmoothingQuality = "high"
  context.imageSmoothingEnabled = true
  paint(photo.image)
  if (layer.image) {
    // Map and contours are complete pictures; an overlay must leave the hatched parts as they are.
    const overlay = show === "overlay"
    const [top, left, bottom, right] = overlay ? data.seen.map(Math.round) : [0, 0, height, width]
    context.save()
    context.beginPath()
    context.rect(
      (left - x * width) / part,
      (top - y * height) / part,
      (right - left) / part,
      (bottom - top) / part
    )
    context.clip()
    context.globalAlpha = overlay ? viewer.opacity : 1
    context.imageSmoothingEnabled = show === "contours" || style === "smooth"
    paint(layer.image)
    context.restore()
  }
  canvas.dataset.drawn = `${data.name} ${show} ${Math.round(viewer.opacity * 100)}`
  canvas.dataset.style = style
  canvas.dataset.window = [viewer.window.zoom, viewer.window.x, viewer.window.y]
    .map(value => value.toFixed(4))
    .join(" ")
}

// Lines between cells, the cell under the cursor, the box, and the numbers of both.
function mark(viewer, side) {
  const { marks, data, axes } = side
  const [height, width] = data.size
  const [x, y, part] = corner(viewer.window)
  marks.setAttribute("viewBox", [x * width, y * height, part * width, part * height].join(" "))
  placeFound(side, [x, y, part])
  const path = (name, text) => marks.querySelector(`.${name}`).setAttribute("d", text)
  path("grid", axes && viewer.data.style === "grid" ? gridPath(axes) : "")
  const cursor = viewer.cursor
  const cell = cursor && axes && cellAt(axes, cursor.y * height, cursor.x * width)
  path("cell", cell ? rectangle(cell.y.low, cell.x.low, cell.y.high, cell.x.high) : "")
  const box = viewer.box
  path("box", box ? rectangle(box.y0 * height, box.x0 * width, box.y1 * height, box.x1 * width) : "")
  readOut(viewer, side, cell)
  side.numbers.textContent = box ? boxText(side, box) : side === viewer.sides[0] ? hint(side) : ""
}

function gridPath({ y, x }) {
  const ends = [y[0].low, y.at(-1).high, x[0].low, x.at(-1).high]
  const rows = y.slice(1).map(({ low }) => `M${ends[2]} ${low}H${ends[3]}`)
  const columns = x.slice(1).map(({ low }) => `M${low} ${ends[0]}V${ends[1]}`)
  return [...rows, ...columns].join("")
}

function hint(side) {
  if (matchMedia("(pointer: coarse)").matches) {
    return side.axes
      ? "Tap the picture for a cell's value. Box, then a drag: the mean inside and outside it."
      : "Two fingers or + and − zoom."
  }
  return side.axes
    ? "Drag a box for the mean inside and outside it. The wheel, or + and −, zooms."
    : "The wheel, or + and −, zooms."
}

// One for all pictures, or one for each if their values are of different kinds.
function fillBars(below, specs) {
  const bars = [...below.querySelectorAll(".bar")]
  while (bars.length < specs.length) {
    bars.push(bars[0].cloneNode(true))
    below.append(bars.at(-1))
  }
  for (const extra of bars.splice(Math.max(1, specs.length))) extra.remove()
  bars[0].hidden = !specs.length
  specs.forEach((spec, i) => fillBar(bars[i], spec))
}
