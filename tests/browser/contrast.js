// Every visible text of the page, also inside components, with its contrast to what it stands on.
// Controls that are switched off are left out, as in WCAG. Returns [{text, ratio, colour, ground}].

() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext(
    "2d",
    { willReadFrequently: true }
  )
  const rgba = text => {
    context.clearRect(0, 0, 1, 1)
    context.fillStyle = text
    context.fillRect(0, 0, 1, 1)
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data
    return [red, green, blue, alpha / 255]
  }
  const over = (upper, lower) => [0, 1, 2].map(i => upper[i] * upper[3] + lower[i] * (1 - upper[3]))
  const luminance = rgb => {
    const [red, green, blue] = rgb.slice(0, 3).map(value => {
      const share = value / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const parent = node => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null
  const isOff = node =>
    node.disabled || node.hasAttribute("disabled") || node.dataset?.disabled === "true" ||
    node.getAttribute("aria-disabled") === "true"

  const found = []
  const look = (node, text, colour, fade) => {
    const box = node.getBoundingClientRect()
    const style = getComputedStyle(node)
    if (box.width <= 2 || box.height <= 2 || style.visibility === "hidden") return
    if (parseFloat(style.fontSize) === 0 || /Symbols/.test(style.fontFamily)) return
    const chain = []
    for (let one = node; one; one = parent(one)) chain.unshift(one)
    if (chain.some(isOff)) return
    const middle = [box.x + box.width / 2, box.y + box.height / 2]
    let ground = [255, 255, 255]
    for (const one of chain) {
      const around = one.getBoundingClientRect()
      const within =
        middle[0] >= around.left && middle[0] <= around.right &&
        middle[1] >= around.top && middle[1] <= around.bottom
      const whole = one === document.body || one === document.documentElement
      if (within || whole) ground = over(rgba(getComputedStyle(one).backgroundColor), ground)
    }
    const front = rgba(colour)
    front[3] *= fade
    for (const one of chain) front[3] *= parseFloat(getComputedStyle(one).opacity)
    if (front[3] === 0) return // not there
    const shown = over(front, ground)
    const [low, high] = [luminance(shown), luminance(ground)].sort((a, b) => a - b)
    const ratio = (high + 0.05) / (low + 0.05)
    found.push({ text: text.slice(0, 60), ratio, colour: shown.map(Math.round), ground: ground.map(Math.round) })
  }
  const walk = root => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) walk(node.shadowRoot)
      if (["STYLE", "SCRIPT", "NOSCRIPT", "TITLE", "OPTION"].includes(node.tagName)) continue
      const style = getComputedStyle(node)
      if (node.tagName === "INPUT" && ["text", "number"].includes(node.type)) {
        const hint = getComputedStyle(node, "::placeholder")
        if (node.value) look(node, node.value, style.color, 1)
        else if (node.placeholder) look(node, node.placeholder, hint.color, parseFloat(hint.opacity))
        continue
      }
      const parts = [...node.childNodes].filter(child => child.nodeType === Node.TEXT_NODE)
      const text = parts.map(child => child.textContent.trim()).join(" ").trim()
      if (!text) continue
      if (node instanceof SVGElement) look(node, text, style.fill, parseFloat(style.fillOpacity))
      else look(node, text, style.color, 1)
    }
  }
  walk(document)
  return found
}
