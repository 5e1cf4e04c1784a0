// Every layer as a card, by stage. A card is a button: a click opens its layer in Explore.

const FEW = 4 // layers that have room for larger cards, unless the photo is upright

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".gallery")
  if (!root || !data) return
  const text = JSON.stringify(data)
  if (root.dataset.shown === text) return
  root.dataset.shown = text
  const open = name => setTriggerValue("open", name)
  const count = data.stages.reduce((sum, stage) => sum + stage.cards.length, 0)
  const [width, height] = data.ratio.split("/").map(Number)
  const few = count <= FEW && width >= height
  const stages = element("div", few ? "stages few" : "stages")
  stages.append(...data.stages.map(stage => section(stage, data.ratio, open)))
  root.replaceChildren(
    ...(data.bar ? [legend(data.bar)] : []),
    stages
  )
}

function legend(bar) {
  const whole = element("div", "legend")
  const ramp = element("div", "ramp")
  ramp.style.background = `linear-gradient(to right, ${bar.colors.join(", ")})`
  const ticks = element("div", "ticks")
  ticks.append(...bar.ticks.map(text => element("span", "", text)))
  const scale = element("div", "scale")
  scale.append(element("span", "", bar.label), ramp, ticks)
  whole.append(scale, element("span", "note", bar.note))
  return whole
}

function section(stage, ratio, open) {
  const heading = element("h3", "", stage.title)
  heading.append(element("small", "", stage.note))
  const cards = element("div", "cards")
  cards.append(...stage.cards.map(card => button(card, ratio, open)))
  const whole = element("section", "stage")
  whole.style.setProperty("--cards", stage.cards.length)
  whole.append(heading, cards)
  return whole
}

function button(card, ratio, open) {
  const root = element("button", "card")
  root.type = "button"
  root.title = `Open ${card.name} in Explore`
  root.setAttribute("aria-current", card.current)
  root.onclick = () => open(card.name)
  const view = card.picture ? image("picture", card.picture, card.alt) : element("span", "nomap", card.alt)
  view.style.aspectRatio = ratio
  root.append(view)
  if (card.strip) root.append(image("strip", card.strip, card.stripAlt))
  const text = element("span", "text")
  text.append(element("span", "name", card.name))
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
