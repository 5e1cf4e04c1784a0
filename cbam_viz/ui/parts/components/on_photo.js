// What pictures on a photo have in common: cells and their places, numbers, the colour bar.

// Rows and columns of cells from top and left on, in pixels of the picture, each with its number.
// The edges come clipped to what the network saw; cells outside that have no extent and are left out.
function axesOf(cells) {
  const intervals = edges =>
    edges
      .slice(1)
      .map((edge, index) => ({
        index,
        low: Math.min(edge, edges[index]),
        high: Math.max(edge, edges[index]),
      }))
      .filter(({ low, high }) => high > low)
      .sort((one, other) => one.low - other.low)
  return { y: intervals(cells.rows_at), x: intervals(cells.columns_at) }
}

// The cell at a place; nothing where the network did not look.
function cellAt(axes, y, x) {
  const among = (intervals, at) => intervals.find(({ low, high }) => at >= low && at < high)
  const cell = { y: among(axes.y, y), x: among(axes.x, x) }
  return cell.y && cell.x ? cell : null
}

function rectangle(top, left, bottom, right) {
  return `M${left} ${top}H${right}V${bottom}H${left}Z`
}

function written(value) {
  return value === null || Number.isNaN(value) ? "not a number" : value.toFixed(3)
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high)
}

function picture() {
  return { source: "", image: null }
}

async function load(slot, source) {
  if (!source) return picture()
  if (slot?.source === source) return slot
  const image = new Image()
  image.src = source
  await image.decode()
  return { source, image }
}

function fillBar(bar, spec) {
  bar.querySelector(".name").textContent = spec.label
  bar.title = spec.hint
  const ramp = bar.querySelector(".ramp")
  ramp.style.background = `linear-gradient(to right, ${spec.colors.join(", ")})`
  ramp.replaceChildren(
    ...spec.levels.map(at => {
      const line = document.createElement("i")
      line.style.left = `${100 * at}%`
      return line
    })
  )
  bar.querySelector(".ticks").replaceChildren(
    ...spec.ticks.map(text => {
      const tick = document.createElement("span")
      tick.textContent = text
      return tick
    })
  )
  bar.querySelector(".levels").textContent = spec.lines
}
