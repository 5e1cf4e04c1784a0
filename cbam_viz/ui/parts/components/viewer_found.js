// What a detector found: outlines over the picture, each with its label.

function fillFound(side, data) {
  const found = data.found || []
  side.foundPath.setAttribute("d", found.map(({ path }) => path).join(""))
  side.labels.replaceChildren(
    ...found.map(({ label }) => {
      const made = document.createElement("span")
      made.textContent = label
      return made
    })
  )
}

// Labels stand above the top left corner of their outline, wherever the window is.
function placeFound(side, [x, y, part]) {
  const [height, width] = side.data.size
  const found = side.data.found || []
  ;[...side.labels.children].forEach((element, i) => {
    const across = (found[i].at[0] / width - x) / part
    const down = (found[i].at[1] / height - y) / part
    element.hidden = across < 0 || across > 0.98 || down < 0 || down > 1
    element.style.zIndex = found.length - i // the surest on top
    element.style.left = `${100 * across}%`
    element.style.top = `${100 * down}%`
    element.classList.toggle("below", down < 0.06)
  })
}
