// Every layer as a card, by stage. A card is a button: a click opens its layer in Explore. All cards
// stand on one grid that fills the width, whatever stage they are of: a stage begins with its
// heading, and goes on under a line.

const WIDEST = 480 // pixels of a card
const NARROWEST = 165
const DESIRED = 250
const DESIRED_OF_FEW = 330
const FEW = 4 // layers
const STEEPEST = 1.5 // height of a picture over its width: a taller photo stands in the middle of it
const WIDEST_GAP = 14
const GAPS = 0.025 // of the width go to the gaps of a row, at most

const widths = new WeakMap() // what watches a gallery's width

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".gallery")
  if (!root || !data) return
  const text = JSON.stringify(data)
  if (root.dataset.shown === text) return
  root.dataset.shown = text
  const open = name => setTriggerValue("open", name)
  const grid = element("div", "grid")
  const ratio = atMostSteep(data.ratio)
  grid.append(...data.stages.map(stage => section(stage, ratio, open)))
  root.replaceChildren(...(data.bar ? [legend(data.bar)] : []), grid)
  widths.get(root)?.disconnect()
  const watch = new ResizeObserver(() => layOut(grid, ratio))
  widths.set(root, watch)
  watch.observe(root)
  layOut(grid, ratio)
}

function atMostSteep(ratio) {
  const [across, down] = ratio.split("/").map(Number)
  return down > STEEPEST * across ? `1 / ${STEEPEST}` : ratio
}

// As many columns as leave the least empty in the last row, with cards near the desired width.
function layOut(grid, ratio) {
  const width = grid.clientWidth
  if (!width) return
  const cells = [...grid.querySelectorAll(".cell")]
  const [across, down] = ratio.split("/").map(Number)
  // Upright photos would make tall cards: they get as large an area as others.
  const narrower = Math.min(1, Math.sqrt((STEEPEST * across) / down))
  const desired = narrower * (cells.length <= FEW ? DESIRED_OF_FEW : DESIRED)
  const most = Math.max(1, Math.min(cells.length, Math.floor(width / NARROWEST)))
  const least = Math.ceil(width / (narrower * WIDEST))
  let best = null
  for (let columns = Math.min(least, most); columns <= most; columns++) {
    const rows = Math.ceil(cells.length / columns)
    const empty = 1 - cells.length / (rows * columns)
    const cost = empty + Math.abs(Math.log(width / columns / desired))
    if (!best || cost < best.cost) best = { columns, cost }
  }
  // One or two layers alone do not fill a wide page, and need not.
  const columns = Math.max(best.columns, least)
  grid.style.setProperty("--columns", columns)
  const gap = Math.floor((GAPS * width) / Math.max(1, columns - 1))
  grid.style.columnGap = `${Math.min(WIDEST_GAP, gap)}px`
  cells.forEach((cell, index) => (cell.dataset.first = String(index % columns === 0)))
}

function legend(bar) {
  const whole = element("div", "legend")
  const ramp = element("div", "ramp")
  ramp.style.background = `linear-gradient(to right, ${bar.colors.join(", ")})`
  const ticks = element("div", "ticks")
  ticks.append(...bar.ticks.map(text => element("span", "", text)))
  const scale = element("div", "scale")
  scale.title = bar.hint
  scale.append(element("span", "", bar.label), ramp, ticks)
  whole.append(scale, element("span", "note", bar.note))
  return whole
}

function section(stage, ratio, open) {
  const whole = element("section", "stage")
  whole.setAttribute("aria-label", stage.title)
  whole.append(
    ...stage.cards.map((card, index) => {
      const cell = element("div", "cell")
      cell.append(index === 0 ? heading(stage) : again(stage), button(card, ratio, open))
      return cell
    })
  )
  return whole
}

function heading(stage) {
  const title = element("h3", "head", stage.title)
  title.append(element("small", "", stage.note))
  return title
}

// Above the other cards of a stage: a line, and words where a new row begins with one.
function again(stage) {
  const line = element("div", "head again")
  line.setAttribute("aria-hidden", "true")
  line.append(element("small", "", `${stage.title}, continued`))
  return line
}

function button(card, ratio, open) {
  const root = element("button", "card")
  root.type = "button"
  root.title = `Open ${card.title === card.name ? card.name : `${card.title} (${card.name})`} in Explore`
  root.setAttribute("aria-current", card.current)
  root.onclick = () => open(card.name)
  const view = card.picture ? image("picture", card.picture, card.alt) : element("span", "nomap", card.alt)
  view.style.aspectRatio = ratio
  root.append(view)
  if (card.strip) {
    const strip = image("strip", card.strip, card.stripAlt)
    strip.style.height = `${Math.max(11, 3 * card.stripRows)}px`
    root.append(strip)
  }
  const text = element("span", "text")
  text.append(element("span", "name", card.title))
  if (card.title !== card.name) text.append(element("code", "path", card.name))
  text.append(...card.facts.map(fact => element("span", "facts", fact)))
  text.append(...card.flags.map(flag => element("span", "flag", flag)))
  root.append(text)
  return root
}

function image(kind, source, alt) {
  const made = element("img", kind)
  made.src = source
  made.alt = alt
  return made
}

function element(tag, kind = "", text = "") {
  const made = document.createElement(tag)
  if (kind) made.className = kind
  if (text) made.textContent = text
  return made
}
