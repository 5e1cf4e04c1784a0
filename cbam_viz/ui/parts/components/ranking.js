// Classes with their probabilities, as a table with bars.

export default function (component) {
  const { data, parentElement } = component
  const table = parentElement.querySelector(".ranking")
  if (!table || !data) return
  table.querySelector("caption").textContent = data.caption
  table.querySelector("tbody").replaceChildren(...data.rows.map(row))
}

function row(entry) {
  const made = document.createElement("tr")
  const label = document.createElement("th")
  label.scope = "row"
  label.textContent = entry.label
  const bar = document.createElement("td")
  bar.className = "bar"
  bar.append(document.createElement("div"))
  bar.firstChild.style.width = `${100 * entry.share}%`
  const percent = document.createElement("td")
  percent.className = "percent"
  percent.textContent = entry.text
  made.append(label, bar, percent)
  return made
}
