// Every text on the page of which a part cannot be seen: what it says, and why.
// Text in a box that scrolls sideways can be reached, and is not among them.
() => {
  const found = []

  const parent = node => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null

  const cutBy = (box, element) => {
    let reached = false // by scrolling down
    for (let at = element; at; at = parent(at)) {
      const style = getComputedStyle(at)
      const frame = at.getBoundingClientRect()
      const scrolls = ["auto", "scroll"].includes(style.overflowX)
      if (scrolls && at.scrollWidth > at.clientWidth + 1 && at.dataset.testid !== "stMain") return ""
      const hides = style.overflowX !== "visible" && !scrolls
      if (hides && (box.right > frame.right + 2 || box.left < frame.left - 2)) return name(at)
      const low = ["hidden", "clip"].includes(style.overflowY)
      reached ||= style.overflowY === "auto" || style.overflowY === "scroll"
      if (low && !reached && (box.bottom > frame.bottom + 4 || box.top < frame.top - 4)) return name(at)
      if (style.position === "fixed") break
    }
    return box.right > innerWidth + 1 || box.left < -1 ? "window" : ""
  }

  const name = element =>
    element.dataset.testid || element.className?.toString().slice(0, 40) || element.tagName

  const readable = element =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
    !element.closest("style, script, .katex-mathml, [data-testid=stSidebar], [data-testid=stIconMaterial]")

  const walk = root => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) walk(element.shadowRoot)
      for (const node of element.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE || !node.data.trim() || !readable(element)) continue
        const range = document.createRange()
        range.selectNodeContents(node)
        for (const box of range.getClientRects()) {
          const frame = element.getBoundingClientRect()
          if (box.width < 2 || frame.width < 2 || frame.height < 2) continue // for screen readers
          const by = cutBy(box, element)
          if (by) {
            found.push(`${node.data.trim().slice(0, 60)} (${by})`)
            break
          }
        }
      }
    }
  }

  walk(document)
  return found
}
