// Part of the viewer: what is read from the map's own numbers, at a place and over a box.

function cellText({ cells }, cell) {
  const { rows, columns, values } = cells
  const value = values[cell.y.index * columns + cell.x.index]
  const place = `row ${cell.y.index + 1}, column ${cell.x.index + 1} of ${rows} × ${columns}`
  return `${place}: ${written(value)}`
}

// In a smooth picture the colour under the cursor is between those of cells, and so is its value.
function readOut(viewer, side, cell) {
  const { cursor } = viewer
  const { data, readout, cross, canvas } = side
  const [x, y, part] = corner(viewer.window)
  const at = cursor && { x: (cursor.x - x) / part, y: (cursor.y - y) / part }
  const inside = at && at.x >= 0 && at.x <= 1 && at.y >= 0 && at.y <= 1
  cross.hidden = !inside || cursor.side === side
  readout.hidden = !inside || !data.cells
  if (!inside) return
  const box = { width: canvas.clientWidth, height: canvas.clientHeight }
  cross.style.left = `${at.x * box.width}px`
  cross.style.top = `${at.y * box.height}px`
  if (!data.cells) return
  readout.textContent = cell ? cellText(data, cell) : "not seen by the network"
  const [height, width] = data.size
  if (cell && viewer.data.style === "smooth") {
    const here = written(interpolate(data.cells, cursor.y * height, cursor.x * width))
    if (!readout.textContent.endsWith(`: ${here}`)) readout.textContent += `, drawn here ${here}`
  }
  const half = readout.offsetWidth / 2
  const left = clamp(at.x * box.width, half, Math.max(half, box.width - half))
  const above = at.y * box.height - 1.6 * readout.offsetHeight
  readout.style.left = `${left - half}px`
  readout.style.top = `${above < 0 ? at.y * box.height + 18 : above}px`
}

// Mean inside and outside a box, each cell counted by its area there, as all statistics are; values
// that are no finite numbers are left out of both.
function boxMeans(side, box) {
  const { data, axes } = side
  const [height, width] = data.size
  const overlap = ({ low, high }, from, to) => Math.max(0, Math.min(high, to) - Math.max(low, from))
  const sums = { inside: 0, insideArea: 0, outside: 0, outsideArea: 0, cells: 0, missing: 0 }
  let [boxed, all] = [0, 0]
  for (const row of axes.y) {
    for (const column of axes.x) {
      const area = (row.high - row.low) * (column.high - column.low)
      const within =
        overlap(row, box.y0 * height, box.y1 * height) *
        overlap(column, box.x0 * width, box.x1 * width)
      const value = data.cells.values[row.index * data.cells.columns + column.index]
      all += area
      boxed += within
      if (within > 1e-6 * area) sums.cells++ // less is rounding of an edge that both share
      if (value === null) {
        sums.missing++
        continue
      }
      sums.inside += within * value
      sums.insideArea += within
      sums.outside += (area - within) * value
      sums.outsideArea += area - within
    }
  }
  return {
    inside: sums.insideArea > 0 ? sums.inside / sums.insideArea : null,
    outside: sums.outsideArea > 1e-9 * all ? sums.outside / sums.outsideArea : null,
    share: boxed / all,
    cells: sums.cells,
    missing: sums.missing,
  }
}

function boxText(side, box) {
  if (!side.axes) return "No map here, so the box has no mean."
  const { inside, outside, share, cells, missing } = boxMeans(side, box)
  side.numbers.dataset.means = [inside, outside, share].join(" ")
  if (!cells) return "The network did not look inside the box."
  const parts = `${cells} ${cells === 1 ? "cell" : "cells"} in whole or part`
  const area = `${(100 * share).toFixed(1)} % of what the network saw`
  const beyond = outside === null ? "Nothing lies outside it." : `Outside: ${written(outside)}.`
  const left = missing ? ` ${missing} values are no finite numbers and left out.` : ""
  return `Mean inside the box: ${written(inside)} (${parts}, ${area}). ${beyond}${left}`
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
