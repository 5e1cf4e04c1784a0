// In the page's head, before Streamlit's scripts: the address bar and the connection to the server.

{
  // One press of Back undoes one thing that the visitor did. Streamlit makes an entry of every
  // change of the address; what the app adds to it of its own accord belongs to the entry before.
  const push = history.pushState
  let touched = false
  for (const kind of ["pointerdown", "keydown", "change", "drop", "paste"]) {
    addEventListener(kind, () => (touched = true), { capture: true, passive: true })
  }
  addEventListener("popstate", () => (touched = false))
  history.pushState = function (state, unused, url) {
    const samePage = new URL(url ?? "", location).pathname === location.pathname
    const entry = samePage && !touched ? history.replaceState : push
    touched = false
    entry.call(history, state, unused, url)
  }
}

{
  // After the first click the welcome has been read: page.css takes it away from here on, in this
  // window. Not while a list is open, as whatever moves the page would close it again.
  const OPEN = "[role=listbox], [data-testid=stPopoverBody]"
  const READ = 150 // milliseconds, in which a click opens what it opens
  let waiting = 0
  const end = () => {
    if (document.querySelector(OPEN)) return
    clearInterval(waiting)
    document.documentElement.classList.add("cbam-viz-begun")
  }
  addEventListener("click", () => (waiting ||= setInterval(end, READ)), true)
}

{
  const GRACE = 1500 // milliseconds: a short interruption is not worth a word
  const FIRST = 20_000 // for the first connection
  const SETTLING = 300 // until the server has taken a connection in
  const READING = 12_000
  const REOPENED = "cbam-viz reopened"
  const DOWN = `The app does not answer. If you started it on this computer, start it again with
    \`cbam-viz app\`, or \`streamlit run app.py\` in its folder; otherwise check your network. What
    you see stays, and this page goes on by itself as soon as the app is back.`
  const BACK = `The app was away, so this page has been opened anew, with what its address says. A
    file that you had uploaded has to be uploaded again.`

  const ours = []
  let timer = 0

  function say(text) {
    const box = document.createElement("div")
    box.className = "cbam-viz-frame"
    box.setAttribute("role", "alert")
    for (const [index, part] of text.replace(/\s+/g, " ").split("`").entries()) {
      box.append(index % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part)
    }
    document.body.append(box)
    ours.push(box)
  }

  function silence() {
    clearTimeout(timer)
    for (const box of ours.splice(0)) box.remove()
  }

  function lost(patience) {
    silence()
    timer = setTimeout(() => say(DOWN), patience)
  }

  // A server that was started again, or has waited too long, knows neither the session nor what its
  // controls did: they would do nothing. The address still says all that a link can carry.
  async function checkSession(id) {
    const base = document.querySelector("script[type=module][src]").src.replace(/static\/js\/.*/, "")
    const answer = await fetch(`${base}cbam-viz/session?id=${encodeURIComponent(id)}`)
    if (!answer.ok || (await answer.json()).known) return
    sessionStorage.setItem(REOPENED, "yes")
    location.reload()
  }

  const Plain = window.WebSocket
  window.WebSocket = class extends Plain {
    constructor(url, protocols) {
      super(url, protocols)
      if (!String(url).includes("/_stcore/stream")) return
      const session = protocols?.[2] // of the connection before, if there was one
      this.addEventListener("open", () => {
        silence()
        if (session) setTimeout(() => checkSession(session).catch(() => {}), SETTLING)
      })
      this.addEventListener("close", () => lost(GRACE))
    }
  }

  // Streamlit's own box says what to do for another program, and covers the page.
  const plainFetch = window.fetch
  window.fetch = async function (address, ...rest) {
    const answer = await plainFetch.call(window, address, ...rest)
    if (!answer.ok || !String(address).endsWith("/_stcore/host-config")) return answer
    return Response.json({ ...(await answer.json()), blockErrorDialogs: true })
  }

  addEventListener("DOMContentLoaded", () => {
    lost(FIRST)
    if (!sessionStorage.getItem(REOPENED)) return
    sessionStorage.removeItem(REOPENED)
    say(BACK)
    const box = ours.pop() // stays when the connection opens
    setTimeout(() => box.remove(), READING)
  })
}
