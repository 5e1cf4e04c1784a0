// The photos to switch between, and all ways in which files come in. Files that are dropped on the
// page or pasted are handed to the uploader in the sidebar, as if they had been chosen there: their
// bytes then travel as every upload does. What is too large or no picture is left out before that.

const instances = new WeakMap()
let pasted = 0 // pictures from the clipboard, which have no name of their own

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".photos")
  if (!root || !data) return
  let strip = instances.get(root)
  if (!strip) {
    strip = create(root)
    instances.set(root, strip)
  }
  strip.tell = setTriggerValue
  const fresh = strip.data && strip.data.uploader !== data.uploader
  strip.data = data
  show(strip)
  if (fresh) settle(strip)
  return () => {
    clearInterval(strip.watch)
    strip.listening.abort()
  }
}

function create(root) {
  const strip = {
    root,
    list: root.querySelector(".strip"),
    drop: root.querySelector(".drop"),
    data: null,
    shown: "",
    sent: null, // names of the files that are on their way
    refused: [], // what was left out of them
    waiting: [], // files that came meanwhile
    watch: 0,
    inside: false, // true while something of the page itself is dragged
    listening: new AbortController(),
  }
  const [add, paste, camera] = ["add", "paste", "camera"].map(name => root.querySelector(`.${name}`))
  add.onclick = () => whenReady(strip, input => input.click())
  paste.onclick = () => readClipboard(strip)
  paste.hidden = !navigator.clipboard?.read // browsers have both on secure pages only
  camera.onclick = () => strip.tell("camera", Date.now())
  camera.hidden = !navigator.mediaDevices?.getUserMedia
  strip.list.onkeydown = event => move(strip, event)
  listen(strip)
  return strip
}

function listen(strip) {
  const on = (name, act) =>
    document.addEventListener(name, act, { capture: true, signal: strip.listening.signal })
  on("change", event => gate(strip, event))
  on("paste", event => takePaste(strip, event))
  on("pointerdown", () => (strip.inside = false))
  on("dragstart", () => (strip.inside = true))
  on("dragenter", event => hover(strip, event))
  on("dragover", event => hover(strip, event))
  on("dragleave", event => event.relatedTarget === null && (strip.drop.hidden = true))
  on("drop", event => takeDrop(strip, event))
}

// ---- thumbnails

function show(strip) {
  const { photos, current } = strip.data
  const text = JSON.stringify([photos, current])
  if (strip.shown === text) return
  strip.shown = text
  const focused = strip.list.getRootNode().activeElement?.dataset?.id
  strip.list.replaceChildren(...photos.map(photo => thumbnail(strip, photo)))
  mark(strip, current)
  if (focused) (find(strip, focused) ?? find(strip, current))?.focus()
  find(strip, current)?.scrollIntoView({ block: "nearest", inline: "nearest" })
}

function thumbnail(strip, photo) {
  const one = element("div", photo.name ? "one" : "one sample")
  const pick = element("button", "pick")
  pick.dataset.id = photo.id
  pick.title = photo.title
  pick.setAttribute("aria-label", photo.title)
  pick.onclick = () => {
    mark(strip, photo.id) // at once; the server needs a moment
    strip.tell("pick", photo.id)
  }
  const picture = element("img")
  picture.src = photo.picture
  picture.alt = ""
  picture.draggable = false
  pick.append(picture)
  one.append(pick)
  if (photo.name) {
    const remove = element("button", "remove")
    remove.textContent = "×"
    remove.tabIndex = -1 // the key Delete does the same
    remove.title = "Remove from this page"
    remove.setAttribute("aria-label", `Remove ${photo.name}`)
    remove.onclick = () => strip.tell("remove", photo.id)
    one.append(remove)
  }
  return one
}

// One stop for the key Tab; arrows go from photo to photo.
function mark(strip, id) {
  for (const pick of picks(strip)) {
    pick.setAttribute("aria-current", pick.dataset.id === id)
    pick.tabIndex = pick.dataset.id === id ? 0 : -1
  }
}

function move(strip, event) {
  const all = picks(strip)
  const at = all.indexOf(event.target)
  if (at < 0) return
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key]
  if (to !== undefined) {
    all[Math.min(Math.max(to, 0), all.length - 1)].focus()
  } else if (event.key === "Delete" && all[at].nextSibling) {
    strip.tell("remove", all[at].dataset.id)
  } else {
    return
  }
  event.preventDefault()
}

function picks(strip) {
  return [...strip.list.querySelectorAll(".pick")]
}

function find(strip, id) {
  return picks(strip).find(pick => pick.dataset.id === id)
}

// ---- from the browser to the uploader

function uploader(strip) {
  return document.querySelector(`.st-key-${strip.data.uploader} input[type=file]`)
}

// As if the visitor had chosen these files in the uploader.
function bring(strip, files) {
  if (strip.sent) strip.waiting.push(...files)
  else
    whenReady(strip, input => {
      input.files = list(files)
      input.dispatchEvent(new Event("change", { bubbles: true }))
    })
}

// Every file passes here, however it came: before Streamlit hears of it.
function gate(strip, event) {
  const input = event.composedPath()[0]
  if (input !== uploader(strip)) return
  const files = [...input.files]
  if (strip.sent) {
    strip.waiting.push(...files) // this uploader is replaced once its files are there
    event.stopImmediatePropagation()
    return
  }
  const { taken, refused } = sort(files, strip.data)
  if (!taken.length) {
    event.stopImmediatePropagation()
    strip.tell("refused", { files: refused })
    return
  }
  if (refused.length) input.files = list(taken)
  strip.refused = refused
  onTheWay(strip, taken.map(file => file.name))
  watch(strip)
}

function onTheWay(strip, names) {
  strip.sent = names
  strip.root.toggleAttribute("data-busy", names !== null)
}

function sort(files, { limits, types }) {
  const taken = []
  const refused = []
  let bytes = 0
  for (const file of files) {
    const name = file.name.toLowerCase()
    const known = file.type.startsWith("image/") || types.some(type => name.endsWith(type))
    const full = taken.length >= limits.count || bytes + file.size > limits.together
    const why = !known ? "kind" : file.size > limits.bytes ? "size" : full ? "surplus" : ""
    if (why) {
      refused.push({ why, name: file.name, size: file.size })
    } else {
      bytes += file.size
      taken.push(file)
    }
  }
  return { taken, refused }
}

// The server has the files, or has given this uploader up: the next ones may go.
function settle(strip) {
  clearInterval(strip.watch)
  const lost = strip.failed ? [] : (strip.sent ?? []).filter(name => !strip.data.arrived.includes(name))
  const files = [...strip.refused, ...lost.map(failure)]
  const next = strip.waiting
  onTheWay(strip, null)
  Object.assign(strip, { refused: [], waiting: [], failed: false })
  if (files.length) strip.tell("refused", { files, besides: true })
  if (next.length) bring(strip, next)
}

// An upload that breaks off tells the server nothing; the uploader marks its file.
function watch(strip) {
  let seen = false
  clearInterval(strip.watch)
  strip.watch = setInterval(() => {
    const box = document.querySelector(`.st-key-${strip.data.uploader}`)
    const chips = [...(box?.querySelectorAll("[data-testid=stFileChip]") ?? [])]
    if (chips.length && chips.every(chip => chip.hasAttribute("aria-invalid"))) {
      clearInterval(strip.watch)
      strip.failed = true
      strip.tell("refused", { files: strip.sent.map(failure) })
    } else if (box && seen && !chips.length) {
      clearInterval(strip.watch)
      onTheWay(strip, null) // called off in the sidebar
    }
    seen ||= chips.length > 0
  }, 400)
}

function say(strip, why) {
  strip.tell("refused", { files: [{ why }] })
}

function failure(name) {
  return { why: "failed", name }
}

function whenReady(strip, act, tries = 50) {
  const input = uploader(strip)
  if (input) act(input)
  else if (tries) setTimeout(() => whenReady(strip, act, tries - 1), 100)
}

// ---- dropped

function hover(strip, event) {
  if (!ours(strip, event)) return
  event.preventDefault()
  event.stopPropagation()
  event.dataTransfer.dropEffect = "copy"
  strip.drop.hidden = false
}

function takeDrop(strip, event) {
  strip.drop.hidden = true
  if (!ours(strip, event)) return
  event.preventDefault()
  event.stopPropagation()
  const files = [...event.dataTransfer.files]
  if (files.length) bring(strip, files)
  else say(strip, "link")
}

// Other uploaders of the page take what is dropped on them; fields take text.
function ours(strip, event) {
  const types = [...(event.dataTransfer?.types ?? [])]
  if (strip.inside || !(types.includes("Files") || types.includes("text/uri-list"))) return false
  const own = uploader(strip)
  return !event.composedPath().some(
    node =>
      node.matches?.("input:not([type=file]), textarea") ||
      (node.dataset?.testid === "stFileUploader" && !node.contains(own))
  )
}

// ---- pasted

function takePaste(strip, event) {
  const files = [...(event.clipboardData?.files ?? [])]
  const field = event.composedPath()[0]?.matches?.("input, textarea, [contenteditable=true]")
  if (!files.length || (field && event.clipboardData.types.includes("text/plain"))) return
  event.preventDefault()
  event.stopPropagation()
  bring(strip, files.map(named))
}

async function readClipboard(strip) {
  let items
  try {
    items = await navigator.clipboard.read()
  } catch {
    say(strip, "denied")
    return
  }
  const files = []
  for (const item of items) {
    const type = item.types.find(one => one.startsWith("image/"))
    if (type) files.push(named(new File([await item.getType(type)], "image", { type })))
  }
  if (files.length) bring(strip, files)
  else say(strip, "nothing")
}

// A copied file keeps its name; a copied picture is called "image" by every browser.
function named(file) {
  if (file.name && !/^image(\.\w+)?$/i.test(file.name)) return file
  const ending = file.type.split("/")[1]?.split("+")[0] || "png"
  return new File([file], `pasted ${++pasted}.${ending}`, { type: file.type })
}

// ---- small tools

function list(files) {
  const transfer = new DataTransfer()
  for (const file of files) transfer.items.add(file)
  return transfer.files
}

function element(tag, kind = "") {
  const made = document.createElement(tag)
  if (kind) made.className = kind
  if (tag === "button") made.type = "button"
  return made
}
